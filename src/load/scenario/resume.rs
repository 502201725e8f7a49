//! Participants that talk while each drops its connection again and again: exactly once and in order all the same.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    group::Group,
    participant::{Participant, stay},
    until,
};
use crate::load::{LoadError, client::ClientError, run::Run, tokens::Pass};

/// A dropped participant stays away from this long
const AWAY_MIN_MS: u64 = 20;
/// up to this long.
const AWAY_MAX_MS: u64 = 400;
/// How soon it is noticed that the run is stopped.
const STOPPED_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn play(run: &Arc<Run>) -> Result<(), LoadError> {
    let size = run.options.size;
    let mut members = JoinSet::new();
    let begin = Instant::now();
    run.begin(begin);
    for room in 0..run.options.rooms {
        let group = Arc::new(Group::new(size));
        let passes: Result<Vec<_>, _> = (0..size).map(|me| run.passes.get(room * size + me, room)).collect();
        let passes: Arc<[Pass]> = passes?.into();
        for me in 0..size {
            members.spawn(member(run.clone(), group.clone(), passes.clone(), (me, room * size + me, begin)));
        }
    }
    until(run, begin + run.options.ramp() * 2 + run.options.length).await;
    run.end();
    while members.join_next().await.is_some() {}
    Ok(())
}

/// Comes when it is its turn, and goes as long after: nobody leaves before all have come.
async fn member(run: Arc<Run>, group: Arc<Group>, passes: Arc<[Pass]>, (me, number, begin): (usize, usize, Instant)) {
    let comes_after = |number: usize| Duration::from_secs_f64(number as f64 / run.options.joins);
    let due = begin + comes_after(number);
    // a room ends at once
    let end = begin + comes_after(number - me) + run.options.ramp() + run.options.length;
    until(&run, due).await;
    if run.stop.is_cancelled() {
        group.note_ready();
        return group.note_done();
    }
    let entered = Participant::enter(&run, &group, (me, number), passes[me].clone(), due).await;
    let next = (me + 1) % group.size();
    let play =
        async |participant: &mut Participant| talk(participant, (next, passes[next].identity.clone()), end).await;
    stay(&run, &group, entered, play).await;
}

/// Says something to the room and to a neighbour in turn, and drops the connection every now and then. Who has nothing more to say is
/// there until the end all the same: others speak to it.
async fn talk(participant: &mut Participant, next: (usize, String), end: Instant) -> Result<(), ClientError> {
    let run = participant.run.clone();
    while !participant.group.all_ready() && Instant::now() < end {
        participant.listen_until(Instant::now() + Duration::from_millis(5)).await?;
    }
    let period = Duration::from_secs_f64(1.0 / run.options.rate);
    let mut due = Instant::now() + period.mul_f64(fastrand::f64());
    // one that drops none by itself does so after the end
    let stays = run.options.stay.is_zero();
    let mut drop_at = if stays { end } else { Instant::now() + run.options.stay.mul_f64(fastrand::f64()) };
    let mut to_room = true;
    while due.min(drop_at) < end {
        listen(participant, due.min(drop_at)).await?;
        if run.stop.is_cancelled() {
            break;
        }
        if drop_at <= due {
            participant.reconnect(Duration::from_millis(fastrand::u64(AWAY_MIN_MS..AWAY_MAX_MS))).await?;
            drop_at = Instant::now() + run.options.stay.mul_f64(0.5 + fastrand::f64());
            // who is away does not speak
            due = due.max(Instant::now());
            continue;
        }
        if to_room {
            participant.say(due).await?;
        } else {
            participant.whisper(due, next.clone()).await?;
        }
        to_room = !to_room;
        due += period;
    }
    listen(participant, end).await
}

/// Listens until then, or until the run is stopped: all of a room notice that before one of them has waited too long for the others.
async fn listen(participant: &mut Participant, at: Instant) -> Result<(), ClientError> {
    while Instant::now() < at && !participant.run.stop.is_cancelled() {
        participant.listen_until(at.min(Instant::now() + STOPPED_WITHIN)).await?;
    }
    Ok(())
}
