use super::*;

#[test]
fn a_collector_that_stays_away_is_one_line_and_then_a_count_and_its_return_another() {
    let started = Instant::now();
    let telemetry = telemetry(started);
    let failed = |kind, lost| Event::ExportFailed { kind, cause: "Unavailable: tcp connect error".to_owned(), lost };
    let lines = logs::capture("info", || {
        (0..50).for_each(|_| telemetry.observe(&failed("traces", 7), started));
        telemetry.observe(&failed("logs", 2), started);
        telemetry.settle(started + Duration::from_secs(11));
        telemetry.observe(&Event::ExportRecovered { kind: "traces" }, started + Duration::from_secs(12));
    });
    let said: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(
        said,
        ["not exported", "not exported", "repeated lines were held back", "the collector takes them again"]
    );
    assert_eq!(
        (&lines[0]["kind"], &lines[0]["lost"], &lines[0]["level"]),
        (&"traces".into(), &7.into(), &"WARN".into())
    );
    assert_eq!(lines[0]["cause"], "Unavailable: tcp connect error");
    assert_eq!((&lines[1]["kind"], &lines[2]["held_back"]), (&"logs".into(), &49.into()));
    assert_eq!((&lines[3]["kind"], &lines[3]["level"]), (&"traces".into(), &"INFO".into()));
}

#[test]
fn a_collector_that_comes_and_goes_each_second_is_two_lines_in_ten_seconds() {
    let started = Instant::now();
    let telemetry = telemetry(started);
    let lines = logs::capture("info", || {
        for second in 0..60 {
            let at = started + Duration::from_secs(second);
            let cause = "Unavailable".to_owned();
            telemetry.observe(&Event::ExportFailed { kind: "traces", cause, lost: 1 }, at);
            telemetry.observe(&Event::ExportRecovered { kind: "traces" }, at);
            telemetry.settle(at);
        }
    });
    let said = |message: &str| lines.iter().filter(|line| line["message"] == message).count();
    assert_eq!((said("not exported"), said("the collector takes them again")), (6, 6), "{lines:?}");
    let held_back: u64 = lines.iter().filter_map(|line| line["held_back"].as_u64()).sum();
    // the last ten seconds are still held
    assert_eq!((lines.len(), held_back), (12, 2 * 45), "{lines:?}");
}

#[test]
fn what_becomes_of_log_lines_is_counted() {
    let telemetry = telemetry(Instant::now());
    telemetry.logs_exported(5);
    telemetry.logs_lost(trace::Lost::QueueFull, 2);
    let samples = scrape(&telemetry);
    assert_eq!(samples["signalbox_logs_exported_total"], 5.0);
    assert_eq!(samples["signalbox_logs_lost_total{reason=\"queue_full\"}"], 2.0);
}
