//! Runs everything on as many threads as there are cores, and writes it down.
#![expect(clippy::print_stdout, reason = "a command's output")]

use std::thread;

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::{
    judge::{Verdict, judge, story},
    model::{DAY_MINUTES, Noise, Past},
};

const SERIES: u64 = 100;
const RULES: [&str; 2] = ["baseline", "mean + 2 sigma for 5m"];

pub(crate) fn print(seed: u64) {
    let seeds = seed..seed + 3;
    let mut quiet = table(&["rule", "noise", "seed", "false tickets a series", "most", "false pages"]);
    let mut found = table(&["rule", "noise", "seed", "+30 % at", "within 10 min", "15 min", "60 min"]);
    for (name, noise) in [("quiet", Noise::QUIET), ("spiky", Noise::SPIKY)] {
        for seed in seeds.clone() {
            for (rule, verdict) in RULES.iter().zip(all(noise, seed)) {
                let row = verdict.quiet;
                quiet.add_row([
                    (*rule).to_owned(),
                    name.to_owned(),
                    seed.to_string(),
                    format!("{:.2}", f64::from(row.tickets) / f64::from(row.series)),
                    row.tickets_max.to_string(),
                    row.pages.to_string(),
                ]);
                for (when, delays) in ["04:00", "14:00", "any minute"].iter().zip(&verdict.delays) {
                    let share = |minutes| format!("{:.0} %", delays.within(minutes));
                    let row = [rule, name, &seed.to_string(), when].map(str::to_owned);
                    found.add_row(row.into_iter().chain([share(10), share(15), share(60)]));
                }
            }
        }
    }
    println!(
        "{SERIES} series of 28 days, 5,000 signals in five minutes, from their first point on.\n\n{quiet}\n\n{found}\n"
    );
    println!("{}", stories(seed));
}

fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(heads);
    table
}

/// The series of a seed, shared among the cores.
fn all(noise: Noise, seed: u64) -> [Verdict; 2] {
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let share = |part: u64| SERIES * part / threads..SERIES * (part + 1) / threads;
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|part| scope.spawn(move || judge(noise, share(part), seed))).collect();
        let mut sum = <[Verdict; 2]>::default();
        for part in parts {
            let part = part.join().expect("what is judged does not panic");
            sum.iter_mut().zip(part).for_each(|(sum, part)| sum.add(part));
        }
        sum
    })
}

/// Each on ten series.
fn stories(seed: u64) -> Table {
    let mut table = table(&["what happens", "found after, minutes", "last firing after, hours", "drift told on day"]);
    let day = DAY_MINUTES;
    let two = [10 * day, 12 * day];
    let incident = |minute| match minute {
        at if (10 * day..10 * day + 480).contains(&at) => 9.0,
        at if at >= 12 * day && at < 12 * day + 120 => 3.0,
        _ => 1.0,
    };
    let spike = |minute| match minute {
        at if (10 * day..10 * day + 5).contains(&at) => 9.0,
        at if at >= 12 * day => 1.3,
        _ => 1.0,
    };
    let step = |minute| if minute >= 10 * day { 1.6 } else { 1.0 };
    let drift = |minute: usize| 1.05_f64.powf(minute.saturating_sub(8 * day) as f64 / day as f64);
    add(&mut table, seed, "8 h at 9 x, two days later 3 x", &two, incident);
    add(&mut table, seed, "five minutes at 9 x, two days later +30 %", &two, spike);
    add(&mut table, seed, "+60 % for good", &two[..1], step);
    add(&mut table, seed, "+5 % a day from day 8 on", &[8 * day], drift);
    table
}

fn add(table: &mut Table, seed: u64, name: &str, starts: &[usize], times: impl Fn(usize) -> f64) {
    let told: Vec<_> =
        (0..10).map(|number| story(&Past::new(Noise::QUIET, 21, seed << 32 | number), starts, &times)).collect();
    let range = |numbers: Vec<Option<f64>>| {
        let known: Vec<f64> = numbers.iter().flatten().copied().collect();
        let (least, most) = known.iter().fold((f64::MAX, f64::MIN), |(a, b), n| (a.min(*n), b.max(*n)));
        match known.len() {
            0 => "never".to_owned(),
            all if all == numbers.len() => format!("{least:.0} to {most:.0}"),
            some => format!("{least:.0} to {most:.0} in {some} of {}", numbers.len()),
        }
    };
    let delays = (0..starts.len()).map(|at| range(told.iter().map(|told| told.delays[at].map(f64::from)).collect()));
    table.add_row([
        name.to_owned(),
        delays.collect::<Vec<_>>().join("; "),
        range(told.iter().map(|told| told.last_hours).collect()),
        range(told.iter().map(|told| told.drift_day.map(|day| day as f64)).collect()),
    ]);
}
