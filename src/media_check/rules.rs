//! The rules, in the order in which they build upon each other.

use anyhow::Result;
use futures_util::future::LocalBoxFuture;

use super::world::World;

mod control;
mod media;

/// One demand of the contract.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) asks: &'static str,
    pub(super) holds: fn(&mut World) -> LocalBoxFuture<'_, Result<()>>,
    /// Those behind it build upon it.
    pub(super) needed: bool,
}

macro_rules! rules {
    ($($module:ident::$name:ident $asks:literal $($needed:ident)?;)*) => {
        pub(super) const RULES: &[Rule] = &[$(
            Rule {
                name: stringify!($name),
                asks: $asks,
                holds: |world| Box::pin($module::$name(world)),
                needed: rules!(@ $($needed)?),
            },
        )*];
    };
    (@) => { false };
    (@ needed) => { true };
}

rules! {
    control::hello "the first message of Watch is the node's hello, with an id" needed;
    control::echo "each probe is echoed at once, with its number";
    control::reports "reports come as often as asked for, within their ranges";
    control::health "Health answers with a report";
    control::two_routers "a second router may watch beside the first";
    control::unknown_participant "what names an unknown participant is NOT_FOUND";
    control::idempotent "puts may be repeated, and ending what is not there is done already" needed;
    control::garbage_sdp "an SDP that cannot be read is INVALID_ARGUMENT";
    control::garbage_candidate "a candidate that cannot be read is INVALID_ARGUMENT, one by mDNS name is taken";
    control::answer_without_offer "an answer that no offer waits for is INVALID_ARGUMENT";
    control::late_call "a call whose deadline has passed ends as DEADLINE_EXCEEDED and leaves the node well";
    media::offer_answered "an offer is answered within a router's deadline" needed;
    media::connects "ICE and DTLS complete" needed;
    media::arrives "media of an announced track arrives at the other participant" needed;
    media::msid "its msid names the room's track and whose it is";
    media::own_media "nobody gets their own media back";
    media::unannounced "media that is not announced goes nowhere";
    media::announced_later "announced, it goes to the others without a new offer of its publisher";
    media::keyframe "a request for a keyframe reaches the publisher";
    media::mute "a muted track is not forwarded, and is again once unmuted";
    media::unsubscribe "a track that was unsubscribed from is not forwarded, and is again once subscribed to";
    media::can_subscribe "who may not subscribe any more gets nothing";
    media::glare "an offer of the client wins over one of the node, which is made anew after";
    media::ice_restart "an offer that restarts ICE gets other credentials, and media goes on";
    media::end_track "a track that ended is not forwarded any more";
    media::sources "sources that are not allowed are PERMISSION_DENIED";
    media::can_publish "who may not publish any more is not forwarded, and announcing is PERMISSION_DENIED";
    media::new_connection "an offer with another certificate is a new connection of the participant";
    media::end_participant "a participant that ended is unknown, and its media is over";
    media::end_room "with a room everything in it is unknown";
}
