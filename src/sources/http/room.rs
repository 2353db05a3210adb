//! Room for large bodies. Many sources are read at once, and few of them have much to say: all of them may be small, and
//! only some of them large at the same time.
//!
//! Whoever waits for room reads nothing meanwhile, and is late when there is none in time.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

/// A body up to this many bytes needs no room.
pub(super) const SMALL_BYTES: usize = 2 << 20;
/// Larger ones at the same time.
const LARGE_AT_ONCE: usize = 4;

static LARGE: Semaphore = Semaphore::const_new(LARGE_AT_ONCE);

/// Room for one large body, until it is dropped.
pub(super) type Room = Arc<SemaphorePermit<'static>>;

/// Waits for room.
pub(super) async fn take() -> Option<Room> {
    // It is never closed.
    LARGE.acquire().await.ok().map(Arc::new)
}
