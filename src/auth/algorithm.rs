//! The signature algorithms that a key may allow, and sets of them.

use std::fmt;

use jsonwebtoken::Algorithm as Jwa;

/// A JWS algorithm (RFC 7518 section 3.1, RFC 8037) that this router verifies. `none` is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm, in the order in which errors list them.
    pub const ALL: [Self; 9] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Its registered name, as in a token's `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of that registered name; names are case-sensitive (RFC 7515 section 4.1.1).
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// As the verifying library calls it.
    pub(crate) const fn jwa(self) -> Jwa {
        match self {
            Self::Hs256 => Jwa::HS256,
            Self::Hs384 => Jwa::HS384,
            Self::Hs512 => Jwa::HS512,
            Self::Rs256 => Jwa::RS256,
            Self::Rs384 => Jwa::RS384,
            Self::Rs512 => Jwa::RS512,
            Self::Es256 => Jwa::ES256,
            Self::Es384 => Jwa::ES384,
            Self::EdDsa => Jwa::EdDSA,
        }
    }
}

/// A set of algorithms, as a key's allow-list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AlgorithmSet(u16);

impl AlgorithmSet {
    /// None.
    pub const EMPTY: Self = Self(0);
    /// What a shared secret can verify.
    pub const HMAC: Self = Self::EMPTY.with(Algorithm::Hs256).with(Algorithm::Hs384).with(Algorithm::Hs512);
    /// What an RSA key can verify.
    pub const RSA: Self = Self::EMPTY.with(Algorithm::Rs256).with(Algorithm::Rs384).with(Algorithm::Rs512);
    /// All that have a public key.
    pub const ASYMMETRIC: Self = Self::RSA.with(Algorithm::Es256).with(Algorithm::Es384).with(Algorithm::EdDsa);

    /// The set of one.
    pub const fn of(algorithm: Algorithm) -> Self {
        Self::EMPTY.with(algorithm)
    }

    /// The set and one more.
    #[must_use]
    pub const fn with(self, algorithm: Algorithm) -> Self {
        Self(self.0 | 1 << algorithm as u16)
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it is in it.
    pub const fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & 1 << algorithm as u16 != 0
    }

    /// The first of it, in the order of [`Algorithm::ALL`].
    pub fn first(self) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| self.contains(*algorithm))
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        algorithms.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// The names, separated by commas.
impl fmt::Display for AlgorithmSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Algorithm::ALL.into_iter().filter(|a| self.contains(*a)).map(Algorithm::name);
        f.write_str(names.next().unwrap_or("none"))?;
        names.try_for_each(|name| write!(f, ", {name}"))
    }
}

impl fmt::Debug for AlgorithmSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlgorithmSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_found_by_its_exact_name_only() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::by_name(algorithm.name()), Some(algorithm));
        }
        for name in ["none", "None", "NONE", "", "hs256", "PS256", "ES512", "eddsa"] {
            assert_eq!(Algorithm::by_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set = AlgorithmSet::HMAC;
        assert!(set.contains(Algorithm::Hs512) && !set.contains(Algorithm::Rs256));
        assert_eq!(set.to_string(), "HS256, HS384, HS512");
        assert!(set.and(AlgorithmSet::ASYMMETRIC).is_empty());
        assert_eq!(AlgorithmSet::EMPTY.to_string(), "none");
        assert_eq!(set.without(AlgorithmSet::of(Algorithm::Hs256)).to_string(), "HS384, HS512");
    }
}
