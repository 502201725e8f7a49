//! What a participant may do, each refusal naming the grant that is missing.

use crate::protocol::{
    Code, Refusal,
    v1::{Permissions, TrackSource},
};

/// The refusal for want of a grant, by its name in the token.
pub(crate) fn denied(grant: &str) -> Refusal {
    Code::PermissionDenied.because(format!("the token does not allow this: it lacks `{grant}`"))
}

/// Whether it may change its own name, metadata and attributes.
pub(crate) fn may_update_own(permissions: &Permissions) -> Result<(), Refusal> {
    if permissions.can_update_own_metadata || permissions.room_admin {
        Ok(())
    } else {
        Err(denied("canUpdateOwnMetadata"))
    }
}

/// Whether tracks of this source may be published.
pub(super) fn may_publish(permissions: &Permissions, source: i32) -> Result<(), Refusal> {
    if !permissions.can_publish {
        return Err(denied("canPublish"));
    }
    if permissions.can_publish_sources.is_empty() || permissions.can_publish_sources.contains(&source) {
        return Ok(());
    }
    let name = |source: i32| {
        let source = TrackSource::try_from(source).unwrap_or(TrackSource::Unspecified);
        source.as_str_name().trim_start_matches("TRACK_SOURCE_").to_ascii_lowercase()
    };
    let allowed: Vec<_> = permissions.can_publish_sources.iter().map(|source| name(*source)).collect();
    Err(Code::PermissionDenied.because(format!(
        "`canPublishSources` does not allow source `{}`; allowed: {}",
        name(source),
        allowed.join(", ")
    )))
}

/// Whether it may subscribe.
pub(super) fn may_subscribe(permissions: &Permissions) -> Result<(), Refusal> {
    if permissions.can_subscribe { Ok(()) } else { Err(denied("canSubscribe")) }
}

/// Whether it may send messages.
pub(super) fn may_send(permissions: &Permissions) -> Result<(), Refusal> {
    if permissions.can_publish_data { Ok(()) } else { Err(denied("canPublishData")) }
}
