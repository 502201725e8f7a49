//! What a token says, and the [`Grant`] it amounts to.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use super::{Grant, settings::RoleSettings};
use crate::protocol::{
    Code, Limits, Refusal,
    v1::{Permissions, TrackSource},
};

/// The `video` claim, as token servers of the field write it: an absent grant is not the same as `false`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VideoGrants {
    /// May join `room`. Absent: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_join: Option<bool>,
    /// The room it is for. Absent or empty: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// May administer `room`. Absent: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_admin: Option<bool>,
    /// May create rooms. Absent: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_create: Option<bool>,
    /// May list rooms. Absent: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_list: Option<bool>,
    /// May publish tracks. Absent: yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    /// May subscribe. Absent: yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    /// May send data. Absent: as `can_publish`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// Sources that may be published (`camera microphone screen_share screen_share_audio data`). Absent or empty: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_sources: Option<Vec<String>>,
    /// May change its own name, metadata and attributes. Absent: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_update_own_metadata: Option<bool>,
    /// Seen by admins only. Absent: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
}

impl VideoGrants {
    /// May join that room, and what follows from it by default.
    pub fn join(room: &str) -> Self {
        Self { room_join: Some(true), room: Some(room.to_owned()), ..Self::default() }
    }

    fn permissions(&self) -> Permissions {
        let publishes = self.can_publish != Some(false);
        let named = self.can_publish_sources.as_deref().unwrap_or_default();
        let sources: Vec<i32> = SOURCES
            .into_iter()
            .filter(|(name, _)| named.iter().any(|n| n.eq_ignore_ascii_case(name)))
            .map(|(_, source)| source as i32)
            .collect();
        // an empty list means every source, so a list of which nothing is known must not become one
        let only_unknown_sources = sources.is_empty() && !named.is_empty();
        Permissions {
            can_publish: publishes && !only_unknown_sources,
            can_subscribe: self.can_subscribe != Some(false),
            can_publish_data: self.can_publish_data.unwrap_or(publishes),
            can_update_own_metadata: self.can_update_own_metadata == Some(true),
            hidden: self.hidden == Some(true),
            room_admin: self.room_admin == Some(true),
            can_publish_sources: sources,
        }
    }
}

/// Sources by the name that tokens use.
pub(super) const SOURCES: [(&str, TrackSource); 5] = [
    ("camera", TrackSource::Camera),
    ("microphone", TrackSource::Microphone),
    ("screen_share", TrackSource::ScreenShare),
    ("screen_share_audio", TrackSource::ScreenShareAudio),
    ("data", TrackSource::Data),
];

/// The claims that are read from a token; all others are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Claims<'a> {
    #[serde(borrow)]
    pub(super) iss: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) sub: Cow<'a, str>,
    /// Seconds since 1970, maybe with a fraction (RFC 7519 section 2).
    pub(super) exp: Option<f64>,
    pub(super) nbf: Option<f64>,
    pub(super) aud: Option<Audience>,
    pub(super) name: Option<String>,
    pub(super) metadata: Option<String>,
    pub(super) attributes: Option<BTreeMap<String, String>>,
    pub(super) video: Option<VideoGrants>,
}

/// One audience or several (RFC 7519 section 4.1.3).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(super) fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::One(audience) => audience == wanted,
            Self::Many(audiences) => audiences.iter().any(|audience| audience == wanted),
        }
    }
}

/// A date of a token in Unix milliseconds; before 1970 is 1970, and past all reason is the end of time.
pub(super) fn unix_ms(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64 // `as` saturates
}

/// What a token's own `video` claim, or the roles in its place, allow.
pub(super) enum Rights {
    Video(VideoGrants),
    Roles(RoleSettings),
}

impl Claims<'_> {
    /// The grant that these claims amount to, once signature, dates and audience are checked.
    pub(super) fn into_grant(
        self,
        key: &str,
        rights: Rights,
        limits: &Limits,
        leeway_ms: u64,
    ) -> Result<Grant, Refusal> {
        let (video, permissions) = match rights {
            Rights::Video(video) => {
                let permissions = video.permissions();
                (video, permissions)
            }
            Rights::Roles(role) => by_role(&role),
        };
        let room = video.room.filter(|room| !room.is_empty());
        let grant = Grant {
            key: key.to_owned(),
            identity: self.sub.as_ref().into(),
            name: self.name.unwrap_or_default(),
            metadata: self.metadata.unwrap_or_default(),
            attributes: self.attributes.unwrap_or_default(),
            room: room.map(Into::into),
            room_join: video.room_join == Some(true),
            room_create: video.room_create == Some(true),
            room_list: video.room_list == Some(true),
            permissions,
            expires_at_ms: self.exp.map(|exp| unix_ms(exp).saturating_add(leeway_ms)),
        };
        bounded(&grant, limits)?;
        Ok(grant)
    }
}

fn by_role(role: &RoleSettings) -> (VideoGrants, Permissions) {
    let video = VideoGrants {
        room_join: Some(role.room_join),
        room_create: Some(role.room_create),
        room_list: Some(role.room_list),
        ..VideoGrants::default()
    };
    let permissions = Permissions {
        can_publish: role.can_publish,
        can_subscribe: role.can_subscribe,
        can_publish_data: role.can_publish_data,
        can_update_own_metadata: role.can_update_own_metadata,
        hidden: role.hidden,
        room_admin: role.room_admin,
        can_publish_sources: role.can_publish_sources.iter().map(|source| *source as i32).collect(),
    };
    (video, permissions)
}

/// Refuses a token whose claims pass the limits that a client's own words are held to.
fn bounded(grant: &Grant, limits: &Limits) -> Result<(), Refusal> {
    if grant.room_join && grant.identity.as_str().is_empty() {
        return Err(Code::Unauthenticated.because("the token names no identity: claim `sub` is required to join"));
    }
    let attributes_bytes: usize = grant.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    let room_bytes = grant.room.as_ref().map_or(0, |room| room.as_str().len());
    let checks = [
        ("sub", grant.identity.as_str().len(), "name_bytes", limits.name_bytes),
        ("name", grant.name.len(), "name_bytes", limits.name_bytes),
        ("video.room", room_bytes, "room_name_bytes", limits.room_name_bytes),
        ("metadata", grant.metadata.len(), "metadata_bytes", limits.metadata_bytes),
        ("attributes", grant.attributes.len(), "attributes", limits.attributes),
        ("attributes", attributes_bytes, "attributes_bytes", limits.attributes_bytes),
    ];
    for (claim, size, limit, allowed) in checks {
        if size > allowed {
            let message = format!("the token's claim `{claim}` has {size}, limits.{limit} is {allowed}");
            return Err(Code::LimitExceeded.because(message));
        }
    }
    Ok(())
}
