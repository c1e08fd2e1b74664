//! Something for a CPU to do that would fall asleep.

use std::hint::spin_loop;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

/// `awake`: does nothing, busily, until the standard input ends.
pub(crate) fn awake() -> Value {
    let ended = Arc::new(AtomicBool::new(false));
    let end = ended.clone();
    std::thread::spawn(move || {
        let mut nothing = [0; 64];
        while std::io::stdin().read(&mut nothing).is_ok_and(|length| length > 0) {}
        end.store(true, Ordering::Relaxed);
    });
    while !ended.load(Ordering::Relaxed) {
        (0..1000).for_each(|_| spin_loop());
    }
    json!({ "ended": true })
}
