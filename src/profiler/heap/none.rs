//! The allocator is the system's, and samples nothing.

use super::{Allocated, Allocations, HeapUnavailable};

pub(super) const fn sampled(_: Allocations) -> Result<Vec<Allocated>, HeapUnavailable> {
    Err(HeapUnavailable::NotBuilt)
}

pub(super) const fn activate(on: bool) -> Result<(), HeapUnavailable> {
    if on { Err(HeapUnavailable::NotBuilt) } else { Ok(()) }
}

pub(super) const fn is_active() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use crate::profiler::heap::{Allocations, activate, is_active, sampled};

    #[test]
    fn a_build_without_it_says_which_build_and_which_key() {
        for refused in [sampled(Allocations::InUse).unwrap_err(), activate(true).unwrap_err()] {
            let said = refused.to_string();
            assert!(said.contains("--features heap-profiling") && said.contains("profiler.heap = true"), "{said}");
        }
        assert!(activate(false).is_ok() && !is_active(), "it is off, and can be left so");
    }
}
