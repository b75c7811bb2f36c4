//! A host that looks at each request on its way.

use std::borrow::Borrow;

use instar_disk::{Action, Host, HostFilter, Io, IoError};

use crate::Native;

/// [`Native`], and what looks at each request on its way there.
#[derive(Debug)]
pub struct Watched<W, N = Native> {
    /// The host that carries the requests out.
    pub native: N,
    /// The observer of the requests.
    pub watch: W,
}

/// The facts about each request.
pub trait Watch: Sync {
    /// A batch is wanted.
    fn wanted(&self, batch: &[Io<'_>]) {
        let _ = batch;
    }

    /// The request is next.
    ///
    /// # Errors
    /// The error that replaces the request, if there is one.
    fn before(&self, action: &Action<'_>) -> std::result::Result<(), IoError> {
        let _ = action;
        Ok(())
    }

    /// The request was carried out.
    fn after(&self, action: &Action<'_>) {
        let _ = action;
    }

    /// The same, for whom it matters what the files hold now.
    fn after_on(&self, native: &Native, action: &Action<'_>) {
        let _ = native;
        self.after(action);
    }
}

impl<W: Watch, N: Borrow<Native> + Sync> Watched<W, N> {
    fn native(&self) -> &Native {
        self.native.borrow()
    }
}

impl<W: Watch, N: Borrow<Native> + Sync> HostFilter for Watched<W, N> {
    fn below(&self) -> &dyn Host {
        self.native()
    }

    fn submit(&self, batch: &mut [Io<'_>]) {
        self.watch.wanted(batch);
        for io in batch {
            if let Err(error) = self.watch.before(&io.action) {
                io.outcome = Err(error);
                return;
            }
            self.native().submit(core::slice::from_mut(io));
            if io.outcome.is_err() {
                return;
            }
            self.watch.after_on(self.native(), &io.action);
        }
    }
}
