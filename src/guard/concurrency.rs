//! How many of something may be under way at once, as a pure function on one count.

/// The count with one more under way; nothing when that would be more than `most`.
#[inline]
pub const fn decide(under_way: u32, most: u32) -> Option<u32> {
    if under_way < most { Some(under_way + 1) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_is_given_and_none_beyond_it() {
        assert_eq!(decide(0, 2), Some(1));
        assert_eq!(decide(1, 2), Some(2));
        assert_eq!(decide(2, 2), None);
        assert_eq!(decide(9, 2), None, "a bound that was lowered while more were under way");
        assert_eq!((decide(0, 0), decide(u32::MAX, u32::MAX)), (None, None));
    }
}
