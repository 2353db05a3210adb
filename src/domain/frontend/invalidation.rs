//! Which paths an edge must forget: what changed under a name that it may have kept, and no more.

use std::collections::{BTreeMap, BTreeSet};

use super::{Manifest, copies::is_alike, manifest::is_index};

/// Of CloudFront: so many paths may be in progress for a distribution.
pub const PATHS_MAX: usize = 3_000;
/// Of CloudFront: so many of them may end in `*`.
pub const WILDCARDS_MAX: usize = 15;
/// Of CloudFront: no path is longer.
const PATH_MAX: usize = 4_000;

/// The paths for a way from one version to another: `base` is the path of the site's own address, ending in `/`, `also` what the
/// operator adds, and `paths_max` how many there may be.
///
/// What comes back under a name of its own content has not been there as anything else. Other names may have been, before the version that
/// is left, and of pages an edge may have kept that they were missing.
/// Where nothing was recorded of what is left, everything counts as changed that may have been another under its name.
pub fn invalidated(
    from: Option<&Manifest>,
    to: &Manifest,
    (base, also): (&str, &[String]),
    paths_max: usize,
) -> Vec<String> {
    let mut paths: BTreeSet<String> = BTreeSet::new();
    for (name, object) in &to.objects {
        let before = from.map(|from| from.objects.get(name));
        let is_stale = match before {
            Some(Some(before)) => !is_alike(before, object),
            // An edge may still have what an earlier version left under this name.
            Some(None) => object.page || !object.headers.is_immutable(),
            None => !object.headers.is_immutable(),
        };
        if is_stale {
            paths.extend(opened_by(base, name));
        }
    }
    let exact_max = paths_max.clamp(1, PATHS_MAX).saturating_sub(also.len()).max(1);
    let wildcards = also.iter().filter(|path| path.ends_with('*')).count();
    let mut paths = collapsed(paths, base, exact_max, WILDCARDS_MAX.saturating_sub(wildcards));
    paths.extend(also.iter().filter(|path| !paths.contains(path)).cloned().collect::<Vec<_>>());
    paths
}

/// The paths under which an object is asked for: an index also by its directory.
fn opened_by(base: &str, name: &str) -> Vec<String> {
    let path = format!("{base}{}", encoded(name));
    if path.len() > PATH_MAX {
        return vec![format!("{base}*")];
    }
    if !is_index(name) {
        return vec![path];
    }
    let directory = path.rfind('/').map_or("/", |at| &path[..=at]).to_owned();
    let bare = directory.trim_end_matches('/').to_owned();
    let bare = (!bare.is_empty()).then_some(bare);
    [path, directory].into_iter().chain(bare).collect()
}

/// As CloudFront takes it: what is not safe in a path is percent-encoded.
fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/!$'()+,:=@&".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// As few paths as fit: the directories that hold most of them become one each, deeper ones first, for those take least with them.
fn collapsed(
    paths: BTreeSet<String>,
    base: &str,
    paths_max: usize,
    wildcards_max: usize,
) -> Vec<String> {
    let whole = || vec![format!("{base}*")];
    let wild = paths.iter().filter(|path| path.ends_with('*')).count();
    if wild > 0 {
        return whole();
    }
    let mut paths = paths;
    let mut wildcards: BTreeSet<String> = BTreeSet::new();
    while paths.len() + wildcards.len() > paths_max {
        if wildcards.len() >= wildcards_max {
            return whole();
        }
        let too_many = paths.len() + wildcards.len() - paths_max;
        let Some(directory) = worth_most(&paths, base, too_many) else { return whole() };
        paths.retain(|path| !path.starts_with(&directory));
        wildcards.retain(|path| !path.starts_with(&directory));
        wildcards.insert(format!("{directory}*"));
    }
    paths.into_iter().chain(wildcards).collect()
}

/// The smallest directory that is enough alone; the largest one where none is.
fn worth_most(paths: &BTreeSet<String>, base: &str, too_many: usize) -> Option<String> {
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    for path in paths {
        let below = path.get(base.len()..).unwrap_or_default();
        for (at, _) in below.match_indices('/') {
            *held.entry(&path[..=base.len() + at]).or_default() += 1;
        }
    }
    let enough = held.iter().filter(|(_, many)| **many > too_many);
    let smallest =
        enough.min_by_key(|(directory, many)| (**many, std::cmp::Reverse(directory.len())));
    let largest = held.iter().filter(|(_, many)| **many > 1);
    let largest = largest.max_by_key(|(directory, many)| (**many, directory.len()));
    smallest.or(largest).map(|(directory, _)| (*directory).to_owned())
}
