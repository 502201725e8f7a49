//! What happens to variants: rules come into force, clients get one.

use std::sync::Arc;

use crate::ids::Variant;

/// What happened to variants.
#[derive(Clone, Debug, PartialEq)]
pub enum Varied {
    /// Rules are in force for whoever comes from now on.
    InForce {
        /// The variants that there are, the default first.
        names: Vec<Variant>,
        /// The rules, in the order in which they are asked.
        rules: Vec<RuleInForce>,
    },
    /// A connection got its variant.
    Assigned {
        /// Which.
        variant: Variant,
        /// By what kind of rule.
        by: AssignedBy,
        /// The rule's name; absent: none fitted.
        rule: Option<Arc<str>>,
    },
}

/// What telemetry wants to know of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInForce {
    /// Its name.
    pub name: Arc<str>,
    /// Where it sends whom it fits.
    pub variant: Variant,
    /// Of a rule by percent, which share of the users, 0 to 1 in parts of 10,000.
    pub share: Option<u16>,
}

/// What decided about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AssignedBy {
    /// Its tag.
    AbTag,
    /// Its user is on a list.
    Users,
    /// Its user's share.
    Percent,
    /// Its device.
    DeviceType,
    /// No rule fitted.
    Default,
}

impl AssignedBy {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::AbTag, Self::Users, Self::Percent, Self::DeviceType, Self::Default];

    /// The word for it: the metric's label, and the rule's key in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AbTag => "ab_tag",
            Self::Users => "users",
            Self::Percent => "percent",
            Self::DeviceType => "device_type",
            Self::Default => "default",
        }
    }
}
