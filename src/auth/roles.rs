//! Roles of a provider's tokens, and what they add up to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::settings::RoleSettings;

/// Grants that a role can name.
pub(super) const NAMES: [&str; 9] = [
    "room_join",
    "room_create",
    "room_list",
    "room_admin",
    "can_publish",
    "can_subscribe",
    "can_publish_data",
    "can_update_own_metadata",
    "hidden",
];

/// A role names a grant that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown grant {0:?}; allowed: {list}", list = NAMES.join(", "))]
pub struct UnknownGrant(pub String);

/// Adds one grant, by its name in snake_case or camelCase, to a role.
pub(super) fn allow(role: &mut RoleSettings, name: &str) -> Result<(), UnknownGrant> {
    let flag = match name {
        "room_join" | "roomJoin" => &mut role.room_join,
        "room_create" | "roomCreate" => &mut role.room_create,
        "room_list" | "roomList" => &mut role.room_list,
        "room_admin" | "roomAdmin" => &mut role.room_admin,
        "can_publish" | "canPublish" => &mut role.can_publish,
        "can_subscribe" | "canSubscribe" => &mut role.can_subscribe,
        "can_publish_data" | "canPublishData" => &mut role.can_publish_data,
        "can_update_own_metadata" | "canUpdateOwnMetadata" => &mut role.can_update_own_metadata,
        "hidden" => &mut role.hidden,
        _ => return Err(UnknownGrant(name.to_owned())),
    };
    *flag = true;
    Ok(())
}

/// What the named roles allow together; names that config does not know add nothing.
pub(super) fn sum<'a>(
    table: &BTreeMap<String, RoleSettings>,
    names: impl IntoIterator<Item = &'a str>,
) -> RoleSettings {
    names.into_iter().filter_map(|name| table.get(name)).fold(RoleSettings::default(), add)
}

fn add(mut sum: RoleSettings, role: &RoleSettings) -> RoleSettings {
    // only roles that may publish have a say in the sources, and an empty list means all of them
    if role.can_publish {
        let every_source = role.can_publish_sources.is_empty() || sum.can_publish && sum.can_publish_sources.is_empty();
        if every_source {
            sum.can_publish_sources.clear();
        } else {
            sum.can_publish_sources.extend(&role.can_publish_sources);
            sum.can_publish_sources.sort_unstable();
            sum.can_publish_sources.dedup();
        }
    }
    sum.room_join |= role.room_join;
    sum.room_create |= role.room_create;
    sum.room_list |= role.room_list;
    sum.room_admin |= role.room_admin;
    sum.can_publish |= role.can_publish;
    sum.can_subscribe |= role.can_subscribe;
    sum.can_publish_data |= role.can_publish_data;
    sum.can_update_own_metadata |= role.can_update_own_metadata;
    sum.hidden |= role.hidden;
    sum
}

/// The role names under a dotted path of a claims object: a string or a list of strings, else none.
pub(super) fn names_at<'a>(claims: &'a Value, path: &str) -> Vec<&'a str> {
    // a claim whose own name has dots (a URL, as some providers do) is found before the path is walked
    let found = claims.get(path).or_else(|| path.split('.').try_fold(claims, |at, part| at.get(part)));
    match found {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::v1::TrackSource;

    fn role(names: &[&str], sources: &[TrackSource]) -> RoleSettings {
        let mut role = RoleSettings::from_names(names.iter().copied()).unwrap();
        role.can_publish_sources = sources.to_vec();
        role
    }

    #[test]
    fn roles_add_up_and_unknown_ones_add_nothing() {
        let table = BTreeMap::from([
            ("guest".to_owned(), role(&["room_join", "can_subscribe"], &[])),
            ("host".to_owned(), role(&["roomAdmin", "canPublish"], &[])),
        ]);
        let both = sum(&table, ["guest", "host", "wizard"]);
        assert!(both.room_join && both.can_subscribe && both.room_admin && both.can_publish);
        assert!(!both.room_list && !both.can_publish_data);
        assert_eq!(sum(&table, ["wizard"]), RoleSettings::default());
    }

    #[test]
    fn sources_are_joined_and_a_role_without_a_list_opens_all_of_them() {
        use TrackSource::{Camera, Microphone};
        let table = BTreeMap::from([
            ("listener".to_owned(), role(&["can_subscribe"], &[])),
            ("speaker".to_owned(), role(&["can_publish"], &[Microphone])),
            ("seen".to_owned(), role(&["can_publish"], &[Camera])),
            ("host".to_owned(), role(&["can_publish"], &[])),
        ]);
        assert_eq!(sum(&table, ["listener", "speaker"]).can_publish_sources, [Microphone]);
        assert_eq!(sum(&table, ["speaker", "listener", "seen"]).can_publish_sources, [Camera, Microphone]);
        assert!(sum(&table, ["speaker", "host"]).can_publish_sources.is_empty());
        assert!(sum(&table, ["host", "speaker"]).can_publish_sources.is_empty());
    }

    #[test]
    fn role_names_come_from_a_string_a_list_or_a_path() {
        let claims = json!({"roles": ["a", 1, "b"], "role": "c", "realm_access": {"roles": ["d"]}, "x.y/z": "e"});
        assert_eq!(names_at(&claims, "roles"), ["a", "b"]);
        assert_eq!(names_at(&claims, "role"), ["c"]);
        assert_eq!(names_at(&claims, "realm_access.roles"), ["d"]);
        assert_eq!(names_at(&claims, "x.y/z"), ["e"]);
        assert!(names_at(&claims, "realm_access").is_empty() && names_at(&claims, "no.such").is_empty());
    }

    #[test]
    fn an_unknown_grant_is_named_with_those_that_exist() {
        let error = RoleSettings::from_names(["room_join", "fly"]).unwrap_err().to_string();
        assert!(error.contains("\"fly\"") && error.contains("can_publish_data"), "{error}");
    }
}
