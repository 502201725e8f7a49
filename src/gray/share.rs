//! A share of the users, which a user that is in it stays in while it grows.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Places that users are spread over: a hundredth of a percent each.
const PLACES: u16 = 10_000;

/// A share in percent, in steps of a hundredth; 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u16);

impl Percent {
    /// Nobody.
    pub const ZERO: Self = Self(0);

    /// A share by its number of percent; absent: it is not between 0 and 100, or has more than two decimals.
    pub fn new(percent: f64) -> Option<Self> {
        let steps = percent * 100.0;
        let whole = steps.round();
        // 0.07 is 7.000000000000001 hundredths
        let fits = (0.0..=f64::from(PLACES)).contains(&whole) && (steps - whole).abs() < 1e-6;
        fits.then_some(Self(whole as u16))
    }

    /// The places that are in it: those below this number.
    pub const fn of_ten_thousand(self) -> u16 {
        self.0
    }

    /// As a number of percent.
    pub fn number(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Whether a place is in it.
    pub(super) const fn holds(self, place: u16) -> bool {
        place < self.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// The place of a user under a rule, 0 to 9,999: the first eight bytes of SHA-256 over `<rule>:<user>`, read as one number
/// with the highest byte first, modulo 10,000. A share holds the places below its own number, so that who is in stays in
/// while it grows; and each rule draws for itself. Other programs may compute it: it is part of what is promised.
pub fn place_of(rule: &str, user: &str) -> u16 {
    let digest = Sha256::new().chain_update(rule).chain_update(":").chain_update(user).finalize();
    let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    (number % u64::from(PLACES)) as u16
}
