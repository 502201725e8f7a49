//! What an edge shows a host: that it has the fleet's secret, now, and which router it means.
//!
//! `base64url(milliseconds since the Unix epoch ‖ HMAC-SHA256)`, keyed by what is derived from the secret that also signs resume
//! tokens. Who listens on a network without TLS could use one again within [`SKEW`]: that is what `relay.cert_file` is for.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// How far two routers' clocks may be apart, the way of a proof included.
pub(super) const SKEW: Duration = Duration::from_secs(60);
/// Nothing else that is signed with the fleet's secret can be taken for a proof, or the other way round.
const PURPOSE: &[u8] = b"signalbox relay 1";
const STAMP_BYTES: usize = 8;
const MAC_BYTES: usize = 32;

/// Makes and checks proofs.
#[derive(Clone)]
pub(super) struct Proofs {
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for Proofs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proofs").finish_non_exhaustive()
    }
}

/// Why a proof is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unproven {
    /// It is not one of this fleet's, or of other routers.
    Forged,
    /// Made too long ago, or not yet: clocks differ by more than [`SKEW`].
    Skewed,
}

impl Proofs {
    /// With the secret that all routers of a fleet share.
    pub(super) fn new(secret: &[u8]) -> Self {
        let keyed = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
        let derived = keyed(secret).chain_update(PURPOSE).finalize().into_bytes();
        Self { keyed: keyed(&derived) }
    }

    /// That this router speaks to that one, now.
    pub(super) fn make(&self, from: &str, to: &str, unix_ms: u64) -> String {
        let stamp = unix_ms.to_be_bytes();
        let mac = self.over(from, to, stamp).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode([&stamp[..], &mac].concat())
    }

    /// Whether that router speaks to this one.
    pub(super) fn check(&self, proof: &str, from: &str, to: &str, unix_ms: u64) -> Result<(), Unproven> {
        let mut bytes = [0; STAMP_BYTES + MAC_BYTES];
        let read = URL_SAFE_NO_PAD.decode_slice(proof, &mut bytes);
        if read != Ok(bytes.len()) {
            return Err(Unproven::Forged);
        }
        let (stamp, mac) = bytes.split_at(STAMP_BYTES);
        let stamp: [u8; STAMP_BYTES] = stamp.try_into().map_err(|_| Unproven::Forged)?;
        self.over(from, to, stamp).verify_slice(mac).map_err(|_| Unproven::Forged)?;
        let apart = u64::from_be_bytes(stamp).abs_diff(unix_ms);
        if u128::from(apart) <= SKEW.as_millis() { Ok(()) } else { Err(Unproven::Skewed) }
    }

    fn over(&self, from: &str, to: &str, stamp: [u8; STAMP_BYTES]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        for text in [from, to] {
            mac.update(&(text.len() as u64).to_be_bytes());
            mac.update(text.as_bytes());
        }
        mac.chain_update(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    #[test]
    fn a_proof_is_of_two_routers_and_of_a_minute() {
        let proofs = Proofs::new(b"a secret of the fleet");
        let proof = proofs.make("r1", "r2", NOW);
        assert_eq!(proofs.check(&proof, "r1", "r2", NOW), Ok(()));
        for apart in [59_000, 60_000] {
            assert_eq!(proofs.check(&proof, "r1", "r2", NOW + apart), Ok(()));
            assert_eq!(proofs.check(&proof, "r1", "r2", NOW - apart), Ok(()));
        }
        assert_eq!(proofs.check(&proof, "r1", "r2", NOW + 60_001), Err(Unproven::Skewed));
        for (from, to) in [("r2", "r1"), ("r1", "r3"), ("r1r", "2"), ("", "r1r2")] {
            assert_eq!(proofs.check(&proof, from, to, NOW), Err(Unproven::Forged), "{from} {to}");
        }
    }

    #[test]
    fn what_is_no_proof_of_this_secret_is_forged() {
        let (proofs, others) = (Proofs::new(b"a secret of the fleet"), Proofs::new(b"another"));
        let proof = others.make("r1", "r2", NOW);
        let changed = proof.replacen(&proof[..1], if proof.starts_with('B') { "C" } else { "B" }, 1);
        for text in [proof.as_str(), &changed, "", "AAAA", &"A".repeat(54), &"A".repeat(10_000), "\u{fe0f}"] {
            assert_eq!(proofs.check(text, "r1", "r2", NOW), Err(Unproven::Forged));
        }
    }
}
