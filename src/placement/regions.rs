//! Where a room goes when its own region has no node: to the others, by their weights, in turns.

use std::collections::BTreeMap;

use crate::ids::Region;

/// A region's running sum of the smooth weighted round robin: regions are few, so it is done by the book.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Turn(f64);

/// Whose turn it is, of these regions. Those without a weight have turns only when no other is there, each as often as the
/// next.
pub(super) fn pick<'a, T>(
    open: &'a mut BTreeMap<Region, T>,
    turn: impl Fn(&mut T) -> &mut Turn,
    weights: &BTreeMap<Region, f64>,
) -> Option<&'a mut T> {
    let weighed = |region: &Region| weights.get(region).copied().unwrap_or(0.0);
    let some_weigh = !weights.is_empty() && open.keys().any(|region| weighed(region) > 0.0);
    let (mut total, mut chosen, mut most) = (0.0, None, f64::NEG_INFINITY);
    for (place, (region, one)) in open.iter_mut().enumerate() {
        let weight = if some_weigh { weighed(region) } else { 1.0 };
        let sum = turn(one);
        sum.0 += weight;
        total += weight;
        if weight > 0.0 && sum.0 > most {
            (chosen, most) = (Some(place), sum.0);
        }
    }
    let chosen = open.values_mut().nth(chosen?)?;
    turn(chosen).0 -= total;
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(pairs: &[(&str, f64)]) -> BTreeMap<Region, f64> {
        pairs.iter().map(|(region, weight)| (Region::from(*region), *weight)).collect()
    }

    fn counts(open: &[&str], weights: &BTreeMap<Region, f64>, turns: usize) -> Vec<usize> {
        let mut regions: BTreeMap<Region, (Turn, usize)> =
            open.iter().map(|region| (Region::from(*region), (Turn::default(), 0))).collect();
        for _ in 0..turns {
            pick(&mut regions, |(turn, _)| turn, weights).unwrap().1 += 1;
        }
        open.iter().map(|region| regions[*region].1).collect()
    }

    #[test]
    fn spill_over_goes_by_the_regions_weights() {
        let weights = weights(&[("sh", 0.4), ("sz", 0.3), ("bj", 0.3)]);
        assert_eq!(counts(&["sh", "sz", "bj"], &weights, 100), [40, 30, 30]);
        assert_eq!(counts(&["sz", "bj"], &weights, 100), [50, 50], "what is lost is shared by the others");
    }

    #[test]
    fn a_region_without_a_weight_takes_rooms_only_when_no_other_can() {
        let weights = weights(&[("sh", 1.0), ("sz", 0.0)]);
        assert_eq!(counts(&["sh", "sz", "eu"], &weights, 10), [10, 0, 0]);
        assert_eq!(counts(&["sz", "eu"], &weights, 10), [5, 5]);
        assert_eq!(pick(&mut BTreeMap::<Region, Turn>::new(), |turn| turn, &weights), None);
    }
}
