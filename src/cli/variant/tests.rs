//! Shares are changed in the text, and nothing else is; what is said is what is there.

use super::{
    edit::{Edited, Wish, edit},
    *,
};
use crate::gray::{Answer, Explained, Step};

fn share(number: f64) -> Percent {
    Percent::new(number).unwrap()
}

fn promote(text: &str, number: f64) -> Edited {
    edit(text, "canary", None, Wish::Promote(share(number))).unwrap()
}

fn rollback(text: &str) -> Edited {
    edit(text, "canary", None, Wish::Rollback).unwrap()
}

const FILE: &str = "\
# ours
[variants]
names = [\"canary\"] # and default

[[variants.rules]]
name = \"staff\"
variant = \"canary\"
users = [\"ann\"]

# the share
[[variants.rules]]
name = \"canary-share\"   # drawn by this
variant = \"canary\"
percent = 5   # careful

# the end
[drain]
seconds = 9
";

#[test]
fn a_promotion_changes_two_keys_and_keeps_every_comment() {
    let edited = promote(FILE, 20.0);
    assert_eq!((edited.rule.as_str(), edited.from, edited.to), ("canary-share", share(5.0), share(20.0)));
    let expected = FILE.replace("percent = 5   # careful\n", "percent = 20   # careful\nprevious_percent = 5\n");
    assert_eq!(edited.text, expected);
    assert_eq!(promote(&edited.text, 20.0).text, edited.text, "what is so already stays as it is");
    let further = promote(&edited.text, 33.33).text;
    assert!(further.contains("percent = 33.33   # careful\nprevious_percent = 20\n"), "{further}");
}

#[test]
fn a_rollback_goes_to_what_was_noted_and_a_second_one_to_nobody() {
    let back = rollback(&promote(FILE, 20.0).text);
    assert_eq!((back.from, back.to, back.text.as_str()), (share(20.0), share(5.0), FILE));
    let nobody = rollback(&back.text);
    assert_eq!((nobody.from, nobody.to), (share(5.0), Percent::ZERO));
    assert_eq!(nobody.text, FILE.replace("percent = 5 ", "percent = 0 "));
    assert_eq!(rollback(&nobody.text).text, nobody.text);
}

#[test]
fn rules_are_found_however_they_are_written() {
    for rules in [
        "[variants.rules]\nname = \"r\"\nvariant = \"canary\"\npercent = 0.5\n",
        "[variants]\nrules = [{ name = \"r\", variant = \"canary\", percent = 0.5 }]\n",
        "[variants]\nrules = { name = \"r\", variant = \"canary\", percent = 0.5 }\n",
        "variants.rules = [\n  { name = \"r\", variant = \"canary\", percent = 0.5 },\n]\n",
    ] {
        let edited = promote(rules, 1.0);
        assert_eq!(edited.from, share(0.5), "{rules}");
        assert!(
            edited.text.contains("percent = 1") && edited.text.contains("previous_percent = 0.5"),
            "{}",
            edited.text
        );
        assert_eq!(rollback(&edited.text).to, share(0.5));
        let kept: toml::Table = toml::from_str(&edited.text).unwrap();
        assert!(kept.contains_key("variants"));
    }
}

#[test]
fn what_cannot_be_changed_is_named_with_what_there_is() {
    let refused = |text: &str, variant: &str, rule: Option<&str>| {
        edit(text, variant, rule, Wish::Rollback).unwrap_err().to_string()
    };
    let all = "it has staff (canary, not by percent), canary-share (canary, by percent)";
    assert_eq!(refused(FILE, "beta", None), format!("the file has no rule by percent for `beta`; {all}"));
    let called = format!("the file has no rule by percent for `canary` called `staff`; {all}");
    assert_eq!(refused(FILE, "canary", Some("staff")), called);
    let two = FILE.replace("users = [\"ann\"]", "percent = 1");
    let several = "the file has several rules by percent for `canary`: choose by --rule one of staff, canary-share";
    assert_eq!(refused(&two, "canary", None), several);
    assert_eq!(edit(&two, "canary", Some("staff"), Wish::Rollback).unwrap().rule, "staff");
    assert_eq!(refused("secret = = \"hush\"", "canary", None), "the file is not TOML");
    assert!(refused("", "canary", None).ends_with("it has no rules at all"));
}

#[test]
fn a_percentage_on_the_command_line_is_as_in_the_file() {
    assert_eq!(
        (percent("20"), percent("0.25%"), percent("100 %")),
        (Ok(share(20.0)), Ok(share(0.25)), Ok(share(100.0)))
    );
    for wrong in ["101", "-1", "0.001", "", "all", "NaN"] {
        assert!(percent(wrong).unwrap_err().contains("0 to 100"), "{wrong}");
    }
}

#[test]
fn an_explanation_names_each_rule_and_what_it_made_of_the_client() {
    let step = |rule: &str, answer, why: &str| Step {
        rule: rule.to_owned(),
        variant: "canary".to_owned(),
        asks: "the tag is `blue`".to_owned(),
        answer,
        why: why.to_owned(),
    };
    let steps = vec![
        step("a", Answer::Not, "there is no tag"),
        step("b", Answer::Fits, "it is"),
        step("c", Answer::NotAsked, ""),
    ];
    let told = Explained { variant: "canary".to_owned(), by: "users".to_owned(), rule: Some("b".to_owned()), steps };
    let text = show::explained(&told);
    assert!(text.starts_with("canary by the rule `b`\n  1. a -> canary: does not fit\n"), "{text}");
    assert!(text.contains("     whether the tag is `blue`: there is no tag\n  2. b -> canary: fits\n"), "{text}");
    assert!(text.contains("  3. c -> canary: is not asked"), "{text}");
}
