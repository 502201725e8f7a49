//! A socket that waits for a turn of the runtime before it writes: what is asked at the same moment leaves in one go, and is answered so.
//!
//! Rooms are written many at once (`router/keeping`), each by a task of its own; the task of the connection is woken by the first of
//! them, and would write for each.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// See the module.
#[derive(Debug)]
pub(super) struct Gathered<S> {
    stream: S,
    /// It has waited for its turn.
    waited: bool,
}

impl<S> Gathered<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, waited: false }
    }

    /// Comes to its turn at the second call.
    fn turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// After what was written, the next waits again; what could not be written goes on where it was.
    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.waited = written.is_pending();
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.turn(cx));
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.turn(cx));
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio_util::codec::{FramedWrite, LinesCodec};

    use super::*;
    use futures_util::{StreamExt as _, stream};

    /// Counts how often it is written to.
    struct Counted {
        stream: tokio::io::DuplexStream,
        writes: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    }

    impl AsyncWrite for Counted {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.writes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Pin::new(&mut self.stream).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn what_several_tasks_ask_at_one_moment_leaves_in_one_write() {
        let (stream, mut other) = tokio::io::duplex(4_096);
        let writes = std::sync::Arc::default();
        let counted = Counted { stream, writes: std::sync::Arc::clone(&writes) };
        let (asks, asked) = tokio::sync::mpsc::channel(64);
        let sink = FramedWrite::new(Gathered::new(counted), LinesCodec::new());
        let sink = futures_util::SinkExt::<String>::sink_map_err(sink, drop);
        let questions = stream::unfold(asked, async |mut asked| Some((asked.recv().await?, asked)));
        let driver = tokio::spawn(questions.map(Ok).forward(sink));
        // it waits for the first
        tokio::task::yield_now().await;
        for number in 10..30 {
            let asks = asks.clone();
            tokio::spawn(async move { asks.send(number.to_string()).await });
        }
        drop(asks);
        let mut said = String::new();
        driver.await.unwrap().unwrap();
        other.read_to_string(&mut said).await.unwrap();
        assert_eq!(said.lines().count(), 20);
        let writes = writes.load(std::sync::atomic::Ordering::Relaxed);
        assert!(writes <= 2, "{writes} writes");
    }
}
