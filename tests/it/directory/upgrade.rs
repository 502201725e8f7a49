//! A fleet whose routers are replaced one after the other by those of another build, while people talk on it.
//!
//! `BEFORE=path/to/signalbox make test` (or of this program alone) names the build that is replaced: a release, or the commit before.
//! Without it both are this one.

use std::path::PathBuf;

use super::{
    load::{assert_nothing_missed, begin},
    *,
};
use crate::{fabric::redis::Redis, harness::within};

/// The build that is replaced.
fn before() -> Option<PathBuf> {
    std::env::var_os("BEFORE").filter(|path| !path.is_empty()).map(PathBuf::from)
}

#[tokio::test]
async fn routers_that_are_replaced_one_by_one_cost_each_session_a_resume_and_nothing_is_missed() {
    let (etcd, redis) = (Etcd::start().await, Redis::start().await);
    let (before, url) = (before(), redis.url());
    let settings = [&kept::keeping_settings(&url)[..], &[("redis.handover_ms", "2000")]].concat();
    let ids = ["r1", "r2", "r3"];
    let mut routers = ids.map(|id| at(free(), before.as_deref(), &etcd, id, &settings));
    agree(&routers.each_ref(), &ids).await;
    let line = ["resume", "--rooms", "6", "--size", "4", "--rate", "10", "--stay", "4", "--seconds", "20"];
    let running = begin(&routers.each_ref(), &line);
    for (place, id) in ids.into_iter().enumerate() {
        // both builds serve people by now
        answered("somebody is there", async || {
            let mut sessions = 0.0;
            for router in &routers {
                sessions += metric(router, "signalbox_sessions").await?;
            }
            (sessions > 12.0).then_some(())
        })
        .await;
        let client = routers[place].client;
        routers[place].terminate();
        assert!(routers[place].ended().await.success());
        routers[place] = at(client, None, &etcd, id, &settings);
        agree(&routers.each_ref(), &ids).await;
    }
    assert_nothing_missed(&within("the end of the talk", running).await.unwrap());
}
