//! The end of a guest that cannot continue: it writes last words to shared memory, and then faults on purpose.
//!
//! Running out of memory is not a bug. It becomes an ordinary report, so the user learns which option helps.

use core::arch::asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use instar_abi::fault::core as faults;
use instar_abi::layout::{LAST_WORDS, LAST_WORDS_BYTES};
use instar_abi::report::{Failure, Stage};
use instar_abi::{Fault, Report};
use instar_disk::Host as _;

use super::client::Client;
use super::heap;

/// Set by the first lane that panics; a second one, or the same again, goes straight to the fault.
static ENDING: AtomicBool = AtomicBool::new(false);

/// An instruction that does not exist.
pub(super) fn fault() -> ! {
    // SAFETY: control never comes back from it.
    unsafe { asm!("ud2", options(noreturn)) }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if ENDING.swap(true, Ordering::Relaxed) {
        fault();
    }
    if heap::refused() != 0 && is_about_memory(info) {
        heap::open_reserve();
        Client.report(&Report::Failed(Failure {
            stage: Stage::Other,
            fault: Fault::new(faults::OUT_OF_MEMORY).with([heap::refused() as u64]),
        }));
        Client.exit();
    }
    let mut words = LastWords { used: 0 };
    // Truncation is the only way this fails.
    let _ = write!(words, "{info}");
    words.publish();
    fault()
}

/// The default handler of failed allocations panics with these words.
fn is_about_memory(info: &PanicInfo<'_>) -> bool {
    let mut start = Start {
        bytes: [0; WORDS.len()],
        used: 0,
    };
    let _ = write!(start, "{}", info.message());
    start.bytes == WORDS
}

const WORDS: [u8; 20] = *b"memory allocation of";

/// Keeps the first bytes of a message.
struct Start {
    bytes: [u8; WORDS.len()],
    used: usize,
}

impl Write for Start {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let Some(place) = self.bytes.get_mut(self.used) else {
                return Err(fmt::Error);
            };
            *place = byte;
            self.used += 1;
        }
        Ok(())
    }
}

/// Writes straight into the layout's last words.
struct LastWords {
    used: usize,
}

impl LastWords {
    const PLACE: *mut u32 = core::ptr::without_provenance_mut(LAST_WORDS as usize);
    const ROOM: usize = LAST_WORDS_BYTES as usize - size_of::<u32>();

    fn publish(&self) {
        // SAFETY: the page is mapped for this purpose.
        unsafe { Self::PLACE.write_volatile(self.used as u32) };
    }
}

impl Write for LastWords {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.used >= Self::ROOM {
                return Err(fmt::Error);
            }
            let place = Self::PLACE.wrapping_add(1).cast::<u8>().wrapping_add(self.used);
            // SAFETY: below ROOM, so inside the page that is mapped for this purpose.
            unsafe { place.write_volatile(byte) };
            self.used += 1;
        }
        Ok(())
    }
}
