//! What the handles of shards promise.

use super::*;

mod media;

#[tokio::test]
async fn a_shard_that_takes_nothing_holds_up_the_drain_of_no_other_and_of_the_process_for_the_window_only() {
    let handle = |inbox| Handle { inbox, population: Arc::default(), gauge: Arc::default(), keeps: false };
    let ((stuck, _held), (free, mut arrivals)) = (mpsc::channel(1), mpsc::channel(1));
    let window = Duration::from_millis(300);
    stuck.try_send(Arrival::Input(Input::Drain { window })).unwrap();
    let shards = Shards {
        handles: [handle(stuck), handle(free)].into(),
        patience: Patience::new(window),
        bounds: Bounds::default(),
    };
    let told = async { arrivals.recv().await.map(|_| tokio::time::Instant::now()) };
    let (ended, told) = tokio::join!(
        async {
            shards.drain(window).await;
            tokio::time::Instant::now()
        },
        told
    );
    assert!(told.is_some_and(|told| told < ended));
}

#[tokio::test]
async fn a_shard_that_panicked_is_our_fault_and_no_drain() {
    let (inbox, arrivals) = mpsc::channel(1);
    drop(arrivals);
    let shards = Shards {
        handles: [Handle { inbox, population: Arc::default(), gauge: Arc::default(), keeps: false }].into(),
        patience: Patience::new(Duration::ZERO),
        bounds: Bounds::default(),
    };
    let input = Arrival::Input(Input::Drain { window: Duration::ZERO });
    let refused = shards.send(0, input).await.unwrap_err().0;
    assert_eq!(refused.code, Code::Internal);
}
