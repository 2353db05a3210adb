//! Targets that a file lists, in the format of Prometheus's `file_sd`: as JSON, or as YAML where the name says so.

use std::{collections::BTreeMap, fs, io::Read, os::unix::fs::MetadataExt, path::Path};

use reqwest::Url;
use serde::Deserialize;

use super::entry;

/// A list of ten thousand targets is a tenth of this.
const BYTES_MAX: u64 = 8 << 20;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file that was looked at.
pub(super) struct Seen {
    pub(super) stamp: Stamp,
    /// By their series; nothing where the file is the one from before.
    pub(super) targets: Option<BTreeMap<String, Url>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// Reads a file, unless it is still the one that was read `before`.
pub(super) fn read(
    path: &Path,
    before: Option<Stamp>,
    scheme: &str,
    below: &str,
) -> Result<Seen, String> {
    let shown = path.display();
    let failed = |fault: std::io::Error| format!("the targets in {shown} cannot be read: {fault}");
    // To open a pipe would wait for whoever writes into it.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("the targets in {shown} cannot be read: it is no file"));
    }
    let file = fs::File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    let stamp = Stamp {
        device: about.dev(),
        inode: about.ino(),
        size: about.size(),
        modified: (about.mtime(), about.mtime_nsec()),
        changed: (about.ctime(), about.ctime_nsec()),
    };
    if before == Some(stamp) {
        return Ok(Seen { stamp, targets: None });
    }
    let mut text = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(format!("the targets in {shown} are longer than {BYTES_MAX} bytes"));
    }
    let targets = targets(is_yaml(path), &text, scheme, below);
    let targets = targets.map_err(|why| format!("in {shown}: {why}"))?;
    Ok(Seen { stamp, targets: Some(targets) })
}

/// By its ending, as Prometheus tells them apart.
fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml")
}

fn in_json(text: &[u8]) -> Result<Vec<Group>, String> {
    serde_json::from_slice(text)
        .map_err(|fault| format!("this is no list of targets in JSON: {fault}"))
}

/// Aliases that unfold to far more than the file holds are refused by the parser's own bounds. A file without anything
/// in it is refused as it is in JSON: it is one that somebody is about to write. Nobody is written `[]`.
fn in_yaml(text: &[u8]) -> Result<Vec<Group>, String> {
    let no_list = |why: &str| format!("this is no list of targets in YAML: {why}");
    let text = std::str::from_utf8(text).map_err(|fault| no_list(&fault.to_string()))?;
    let options = serde_saphyr::options! { with_snippet: false };
    let groups: Option<Vec<Group>> = serde_saphyr::from_str_with_options(text, options)
        .map_err(|fault| no_list(&fault.to_string().replace('\n', " ")))?;
    groups.ok_or_else(|| no_list("it is empty"))
}

/// The targets by their series; one that is listed twice is one.
pub(super) fn targets(
    yaml: bool,
    text: &[u8],
    scheme: &str,
    below: &str,
) -> Result<BTreeMap<String, Url>, String> {
    let groups = if yaml { in_yaml(text) } else { in_json(text) }?;
    let mut all = BTreeMap::new();
    for Group { targets, labels } in groups {
        // What would be asked without its parameters would answer something else.
        if let Some(label) = labels.keys().find(|label| label.starts_with("__param_")) {
            return Err(format!("the label {label:?} is not followed here"));
        }
        let said = |label: &str, usual| labels.get(label).map_or(usual, String::as_str);
        let scheme = said("__scheme__", scheme);
        let below = said("__metrics_path__", below);
        for target in targets {
            let url = entry::url_of(scheme, &target, below)?;
            all.insert(entry::series(&url), url);
        }
    }
    Ok(all)
}
