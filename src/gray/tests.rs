//! Which rule decides, how shares are drawn, and what is refused.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn percent(number: f64) -> Percent {
    Percent::new(number).unwrap()
}

fn rule(name: &str, variant: &str, test: Test) -> Rule {
    Rule { name: name.into(), variant: variant.into(), test }
}

fn share(name: &str, variant: &str, number: f64) -> Rule {
    rule(name, variant, Test::Share { percent: percent(number), previous: None })
}

/// One rule of each kind, each to a variant of its own.
fn four() -> Rules {
    let users = ["ann", "bob"].map(str::to_owned).into();
    let rules = vec![
        rule("tag", "a", Test::Tag("blue".to_owned())),
        rule("staff", "b", Test::Users(users)),
        share("half", "c", 50.0),
        rule("phones", "d", Test::Device(Device::new("^ios-1[78]").unwrap())),
    ];
    Rules::new(["a", "b", "c", "d"].map(Variant::from), rules)
}

fn got(rules: &Rules, hints: Hints<'_>) -> (String, &'static str) {
    let assigned = rules.assign(&hints);
    (assigned.variant.to_string(), assigned.by.name())
}

#[test]
fn the_first_rule_that_fits_decides_and_without_one_it_is_the_default() {
    let rules = four();
    let all = Hints { ab_tag: Some("blue"), user: "ann", device_type: Some("ios-17") };
    assert_eq!(got(&rules, all), ("a".to_owned(), "ab_tag"));
    assert_eq!(got(&rules, Hints { ab_tag: Some("BLUE"), ..all }), ("b".to_owned(), "users"), "exactly");
    let (inside, outside) = (in_or_out(true), in_or_out(false));
    let of = |user| Hints { ab_tag: None, user, device_type: Some("ios-17") };
    assert_eq!(got(&rules, of(&inside)), ("c".to_owned(), "percent"));
    assert_eq!(got(&rules, of(&outside)), ("d".to_owned(), "device_type"));
    assert_eq!(got(&rules, Hints { device_type: Some("ios-16"), ..of(&outside) }), ("default".to_owned(), "default"));
    assert_eq!(got(&rules, Hints { device_type: None, ..of(&outside) }), ("default".to_owned(), "default"));
    assert_eq!(got(&rules, Hints::default()), ("default".to_owned(), "default"), "nobody is in no share");
    assert_eq!(got(&Rules::default(), all), ("default".to_owned(), "default"));
}

/// A user that is, or is not, in the half of `half`.
fn in_or_out(inside: bool) -> String {
    (0..).map(|n| format!("user-{n}")).find(|user| (place_of("half", user) < 5_000) == inside).unwrap()
}

#[test]
fn places_are_these_on_every_machine_and_for_ever() {
    // computed elsewhere: int.from_bytes(sha256(b"canary-share:ann").digest()[:8], "big") % 10000
    let golden = [
        ("canary-share", "ann", 860),
        ("canary-share", "bob", 6_959),
        ("canary-share", "user-17", 8_931),
        ("canary-share", "é", 7_243),
        ("beta", "ann", 618),
    ];
    for (rule, user, place) in golden {
        assert_eq!(place_of(rule, user), place, "{rule}:{user}");
    }
}

#[test]
fn of_a_hundred_thousand_users_each_share_gets_its_part_and_two_rules_draw_apart() {
    let users: Vec<String> = (0..100_000).map(|n| format!("user-{n}")).collect();
    let part = |fits: &dyn Fn(&str) -> bool| users.iter().filter(|user| fits(user)).count() as f64 / 1e5;
    for number in [0.0, 0.01, 0.5, 1.0, 5.0, 20.0, 50.0, 99.99, 100.0] {
        let share = percent(number);
        let got = part(&|user| share.holds(place_of("canary", user)));
        let wanted = number / 100.0;
        // four standard deviations of so many draws
        let tolerated = 4.0 * (wanted * (1.0 - wanted) / 1e5).sqrt();
        assert!((got - wanted).abs() <= tolerated, "{number} %: {got}");
    }
    let (one, other) = (percent(20.0), percent(30.0));
    let both = part(&|user| one.holds(place_of("one", user)) && other.holds(place_of("other", user)));
    assert!((both - 0.06).abs() < 0.003, "{both}");
}

proptest! {
    #[test]
    fn who_is_in_a_share_stays_in_while_it_grows(user in ".{1,40}", small in 0_u16..=10_000, more in 0_u16..=10_000) {
        let (small, large) = (small.min(more), small.max(more));
        let fits = |hundredths: u16| {
            share("canary", "canary", f64::from(hundredths) / 100.0).fits(&Hints { user: &user, ..Hints::default() })
        };
        prop_assert!(!fits(small) || fits(large));
        prop_assert!(fits(10_000) && !fits(0));
    }

    #[test]
    fn an_explanation_says_what_the_assignment_does(tag in proptest::option::of("blue|red"), user in "ann|user-[0-9]{1,3}|", device in proptest::option::of("ios-1[5-9]")) {
        let rules = four();
        let hints = Hints { ab_tag: tag.as_deref(), user: &user, device_type: device.as_deref() };
        let (assigned, explained) = (rules.assign(&hints), rules.explain(&hints));
        prop_assert_eq!(assigned.variant.as_str(), &explained.variant);
        prop_assert_eq!(assigned.by.name(), &explained.by);
        prop_assert_eq!(assigned.rule.as_deref(), explained.rule.as_deref());
        let decided = explained.steps.iter().position(|step| step.answer == Answer::Fits);
        prop_assert_eq!(decided.map(|at| explained.steps[at].rule.clone()), explained.rule);
        let before = decided.unwrap_or(explained.steps.len());
        prop_assert!(explained.steps[..before].iter().all(|step| step.answer == Answer::Not));
        prop_assert!(explained.steps.iter().skip(before + 1).all(|step| step.answer == Answer::NotAsked));
    }

    #[test]
    fn an_expression_is_taken_or_refused_in_one_line_and_never_worse(text in ".{0,80}") {
        if let Err(why) = Device::new(&text) {
            prop_assert!(!why.contains('\n') && !why.is_empty());
        }
    }
}

#[test]
fn an_explanation_says_why_each_rule_fits_or_not() {
    let hints = Hints { ab_tag: Some("red"), user: "user-17", device_type: None };
    let rules = Rules::new(["canary".into()], vec![four().rules()[0].clone(), share("canary-share", "canary", 5.0)]);
    let explained = rules.explain(&hints);
    assert_eq!((explained.variant.as_str(), explained.by.as_str()), ("default", "default"));
    let told: Vec<_> = explained.steps.iter().map(|step| (step.asks.as_str(), step.why.as_str())).collect();
    let expected = [
        ("the tag is `blue`", "the tag is `red`"),
        ("the user is in 5 %", "`canary-share:user-17` hashes to 8931 of 10000, and it takes those below 500"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_percentage_has_two_decimals_and_is_no_more_than_all() {
    for good in [0.0, 0.01, 0.07, 0.29, 1.1, 33.33, 99.99, 100.0] {
        assert_eq!(Percent::new(good).map(|percent| percent.to_string()), Some(good.to_string()));
    }
    for bad in [-0.01, 0.001, 100.01, 101.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        assert_eq!(Percent::new(bad), None, "{bad}");
    }
}

#[test]
fn an_expression_that_would_take_too_much_is_refused_and_says_so() {
    let refused = |text: &str| Device::new(text).unwrap_err();
    for bomb in ["(a{1000}){1000}", "((((a{9}){9}){9}){9}){9}", "[a-z]{60000}", "(x+x+)+{999}{999}"] {
        let why = refused(bomb);
        assert!(why.contains("repeat less") || why.contains("is no regular expression"), "{bomb}: {why}");
    }
    assert_eq!(refused("(a{1000}){1000}"), "would take more than 65536 bytes once compiled: repeat less");
    assert_eq!(refused("ios-(1[78]"), "is no regular expression: unclosed group");
    assert_eq!(refused(""), "0 bytes; allowed: 1 to 256");
    assert_eq!(refused(&"a".repeat(257)), "257 bytes; allowed: 1 to 256");
    let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
    assert!(refused(&deep).contains("nest"), "{}", refused(&deep));
}

#[test]
fn what_takes_others_exponential_time_takes_no_time_here() {
    let device = Device::new("^(a+)+$").unwrap();
    let given = format!("{}!", "a".repeat(HINT_BYTES_MAX - 1));
    let begun = Instant::now();
    assert!(!device.fits(&given));
    // backtracking would need 2^255 steps
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn an_expression_is_found_anywhere_unless_it_is_anchored_and_minds_capitals() {
    let fits = |text: &str, given: &str| Device::new(text).unwrap().fits(given);
    assert!(fits("tv", "android-tv") && !fits("^tv", "android-tv") && !fits("TV", "android-tv"));
    assert!(fits("(?i)TV$", "android-tv") && fits(r"^\w+-\d{2}$", "ios-17") && fits("电视", "小米电视"));
}
