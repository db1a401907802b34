//! Writing to a stream that is one's own part: what wrappers of streams that look at
//! reads alone have in common. The methods are those of hyper's `Write` and of
//! tokio's `AsyncWrite`, which are alike.

/// All of writing, as the part does it.
macro_rules! writes_by {
    ($part:tt) => {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            buf: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::pin::Pin::new(&mut self.$part).poll_write(cx, buf)
        }

        fn poll_write_vectored(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            bufs: &[std::io::IoSlice<'_>],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::pin::Pin::new(&mut self.$part).poll_write_vectored(cx, bufs)
        }

        $crate::net::pass_on::ends_by!($part);
    };
}

/// All of writing but the bytes themselves.
macro_rules! ends_by {
    ($part:tt) => {
        fn is_write_vectored(&self) -> bool {
            self.$part.is_write_vectored()
        }

        fn poll_flush(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::pin::Pin::new(&mut self.$part).poll_flush(cx)
        }

        fn poll_shutdown(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::pin::Pin::new(&mut self.$part).poll_shutdown(cx)
        }
    };
}

pub(crate) use {ends_by, writes_by};
