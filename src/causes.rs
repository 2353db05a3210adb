//! An error of a library's, told whole.

use std::error::Error;

/// With its causes, each said once.
pub fn chain(fault: &dyn Error) -> String {
    let mut said = fault.to_string();
    let mut source = fault.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        source = cause.source();
    }
    said
}
