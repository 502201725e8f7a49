//! Whose tokens are accepted, and what they may say.

use std::{collections::BTreeMap, path::PathBuf};

use super::{SECRET_BYTES, WORDS};
use crate::{
    auth::{Algorithm, AlgorithmSet, settings::Secret},
    config::{
        schema::section,
        values::{List, Millis, Seconds, Url, choice},
    },
    protocol::v1::TrackSource,
};

choice! {
    /// What the expiry of a token means.
    pub enum Expiry {
        /// The session ends with it, unless `update` brought a fresh one.
        Close = "close",
        /// It counts at the door only.
        Connect = "connect",
    }
}

section! {
    /// Whose tokens are accepted.
    /// At least one of auth.keys, auth.jwks.url, auth.oidc.issuer and auth.introspection.url is needed.
    pub struct Auth {
        keys {
            /// How far the clocks of token servers may be off.
            /// Machines with NTP are within one second.
            leeway_seconds: Seconds = Seconds(5), 0..=300, live;
            /// `close`: a session ends when its token does, unless `update` brought a fresh one; `connect`: checked at the door only.
            /// Close, because a token that was taken back should stop working.
            expiry: Expiry = Expiry::Close, (), live;
            /// How long before expiry a session is told.
            /// Time for an application to fetch a fresh token, twice.
            expiry_notice_seconds: Seconds = Seconds(60), 0..=3600, live;
            /// The claim of a provider's token that names roles; dots go into objects (`realm_access.roles`).
            roles_claim: String = "roles".to_owned(), WORDS, live;
        }
        sections {
            /// Static keys by API key, several under one name for rotation.
            keys: BTreeMap<String, Vec<ApiKey>>;
            /// Keys fetched from a URL (RFC 7517).
            jwks: Jwks;
            /// Keys found through an OpenID provider's discovery document.
            oidc: Oidc;
            /// Opaque tokens asked about at their issuer (RFC 7662).
            introspection: Introspection;
            /// What a role of a provider's token allows; several roles of one token add up.
            roles: BTreeMap<String, Role>;
        }
    }
}

section! {
    /// A static key; its name is the `iss` of tokens. Exactly one of secret, secret_file and public_key_file.
    /// For rotation write `[[auth.keys.NAME]]` several times, each with a `kid`.
    pub struct ApiKey {
        example_name "app";
        keys {
            /// Shared secret, for HS256, HS384 and HS512.
            secret: Option<Secret> = None, SECRET_BYTES, live;
            /// The same, read from a file; its last line break does not count.
            secret_file: Option<PathBuf> = None, (), live;
            /// Public key in PEM, for RS*, ES* and EdDSA.
            public_key_file: Option<PathBuf> = None, (), live;
            /// Signature algorithms that are accepted; none: all that suit the key.
            algorithms: Vec<Algorithm> = Vec::new(), List { count: 0..=9, each: EVERY }, live;
            /// Which of several keys under this name, as a token's `kid` says it; empty: any.
            kid: Option<String> = None, WORDS, live;
        }
        derived {
            /// What is in `public_key_file`.
            public_key: Option<String>;
        }
    }
}

section! {
    /// Keys fetched from a URL (RFC 7517). They outlive the endpoint being away.
    pub struct Jwks {
        keys {
            /// Where; empty: off.
            url: Option<Url> = None, ();
            /// How often they are fetched again; an unknown `kid` fetches sooner.
            /// Providers announce new keys hours before they sign with them.
            refresh_seconds: Seconds = Seconds(300), 10..=86_400;
            /// Only tokens with this `iss`; empty: any that is not the name of a static key.
            issuer: Option<String> = None, WORDS;
            /// Only tokens for this `aud`; empty: not checked.
            audience: Option<String> = None, WORDS;
            /// Signature algorithms that are accepted; none: every asymmetric one.
            algorithms: Vec<Algorithm> = Vec::new(), List { count: 0..=6, each: AlgorithmSet::ASYMMETRIC };
        }
    }
}

section! {
    /// An OpenID provider: its keys are found through its discovery document.
    pub struct Oidc {
        keys {
            /// Its issuer URL, also the `iss` of its tokens; empty: off.
            issuer: Option<Url> = None, ();
            /// Only tokens for this `aud`; empty: not checked.
            audience: Option<String> = None, WORDS;
            /// How often its keys are fetched again; an unknown `kid` fetches sooner.
            refresh_seconds: Seconds = Seconds(300), 10..=86_400;
            /// Signature algorithms that are accepted; none: every asymmetric one.
            algorithms: Vec<Algorithm> = Vec::new(), List { count: 0..=6, each: AlgorithmSet::ASYMMETRIC };
        }
    }
}

section! {
    /// Opaque tokens are asked about at their issuer (RFC 7662).
    pub struct Introspection {
        keys {
            /// Where; empty: off.
            url: Option<Url> = None, ();
            /// Who we are there; empty: no credentials are sent.
            client_id: Option<String> = None, WORDS;
            /// How we prove it.
            client_secret: Option<Secret> = None, 1..=4096;
            /// The same, read from a file; its last line break does not count.
            client_secret_file: Option<PathBuf> = None, ();
            /// How long an answer is believed, at most until the token expires; 0: never.
            /// How long a token that was taken back may still open the door.
            cache_seconds: Seconds = Seconds(30), 0..=3600;
            /// Answers kept.
            cache_entries: usize = 10_000, 0..=1_000_000;
            /// How long an answer may take; past it the token is refused for now.
            timeout_ms: Millis = Millis(2000), 50..=30_000;
        }
    }
}

section! {
    /// What a role of a provider's token allows; several roles of one token add up.
    pub struct Role {
        example_name "host";
        keys {
            /// Join rooms.
            room_join: bool = false, (), live;
            /// Create rooms.
            room_create: bool = false, (), live;
            /// List rooms.
            room_list: bool = false, (), live;
            /// Administer rooms.
            room_admin: bool = false, (), live;
            /// Publish tracks.
            can_publish: bool = false, (), live;
            /// Subscribe to tracks.
            can_subscribe: bool = false, (), live;
            /// Send data.
            can_publish_data: bool = false, (), live;
            /// Change the own name, metadata and attributes.
            can_update_own_metadata: bool = false, (), live;
            /// Be seen by admins only.
            hidden: bool = false, (), live;
            /// Sources that may be published; none: every source.
            can_publish_sources: Vec<TrackSource> = Vec::new(), List { count: 0..=5, each: () }, live;
        }
    }
}

/// What a static key can be used with, all kinds together.
const EVERY: AlgorithmSet = AlgorithmSet::HMAC.or(AlgorithmSet::ASYMMETRIC);
