//! Arrivals a second: each connects, is let in, joins and stays. Latency counts from when it should have arrived.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{SKIM_EVERY, skim, until};
use crate::load::{
    LoadError,
    client::Client,
    measure::Measure,
    run::{Present, Run},
    tokens::Pass,
};

pub(super) async fn play(run: &Arc<Run>) -> Result<(), LoadError> {
    let arrivals = run.options.sessions();
    // tokens are signed beforehand: signing is not what is measured
    let passes: Result<Vec<_>, _> = (0..arrivals).map(|i| run.passes.get(i, i / run.options.size)).collect();
    let over = CancellationToken::new();
    let (answered, mut answers) = mpsc::channel(arrivals.max(1));
    let begin = Instant::now();
    run.begin(begin);
    for (number, pass) in passes?.into_iter().enumerate() {
        let due = begin + Duration::from_secs_f64(number as f64 / run.options.rate);
        tokio::spawn(arrive(Arrival { run: run.clone(), number, pass, due }, answered.clone(), over.clone()));
    }
    drop(answered);
    while answers.recv().await.is_some() {}
    run.end();
    over.cancel();
    Ok(())
}

struct Arrival {
    run: Arc<Run>,
    number: usize,
    pass: Pass,
    due: Instant,
}

async fn arrive(arrival: Arrival, answered: mpsc::Sender<()>, over: CancellationToken) {
    let Arrival { run, number, pass, due } = arrival;
    until(&run, due).await;
    if run.stop.is_cancelled() {
        return;
    }
    let joined = run.join(number, &pass).await;
    match joined {
        Ok((client, _)) => {
            run.record(number, Measure::Join, run.nanos(due), Instant::now());
            drop(answered);
            stay(&run, client, over).await;
        }
        Err(e) => run.refused(&e),
    }
}

async fn stay(run: &Run, mut client: Client, over: CancellationToken) {
    let _present = Present::new(&run.counts);
    loop {
        tokio::select! {
            () = over.cancelled() => return,
            () = tokio::time::sleep(SKIM_EVERY) => {}
        }
        if let Err(e) = skim(&mut client) {
            return run.refused(&e);
        }
    }
}
