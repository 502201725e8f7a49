//! What takes a while to make is made on threads beside the ops thread, a few at a time: health answers meanwhile, and
//! who goes away while it waits leaves nothing behind.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Made at one time; others wait, as many as there may be connections.
pub(super) const RENDERING_MAX: usize = 2;

/// The places for making something.
#[derive(Clone, Debug)]
pub(super) struct Rendering(Arc<Semaphore>);

impl Rendering {
    /// With so many places.
    pub(super) fn with_places(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }
}

impl Default for Rendering {
    fn default() -> Self {
        Self::with_places(RENDERING_MAX)
    }
}

impl Rendering {
    /// Waits for a place and makes it there; absent: making it panicked.
    pub(super) async fn apart<T: Send + 'static>(&self, make: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let permit = self.0.clone().acquire_owned().await.ok()?;
        let making = tokio::task::spawn_blocking(move || {
            // held to the end, also when nobody waits for it any more
            let _permit = permit;
            make()
        });
        making.await.ok()
    }

    /// Takes all places, once they are there.
    #[cfg(test)]
    pub(super) async fn all(&self) -> tokio::sync::OwnedSemaphorePermit {
        self.0.clone().acquire_many_owned(RENDERING_MAX as u32).await.unwrap()
    }
}
