//! Signals that are read from a service's own metrics.

use toml::Spanned;

use crate::{
    config::{
        Read,
        check::{
            found::Found,
            signal::{
                Of,
                wanted::{Wanted, fold, wanted},
            },
        },
        raw,
    },
    domain::policy::SignalKind,
    sources::{
        scrape::{GaugeSpec, HistogramSpec, RatioSpec, Spec},
        selector::Selector,
    },
};

/// What is wanted of each body.
pub(super) fn scraped(
    found: &mut Found<'_>,
    of: &Of<'_>,
    kind: SignalKind,
    raw: &Spanned<raw::Scrape>,
) -> Option<Read> {
    let (at, raw) = (raw.span(), raw.get_ref());
    if of.raw.scrape.is_none() && !found.was_cut(&["service", of.key.get_ref(), "scrape"]) {
        let what = format!("nobody knows where the metrics of `{}` are", of.key.get_ref());
        let instead = format!(
            "add a table [service.{}.scrape] with a url, a file or a name",
            of.key.get_ref()
        );
        found.error(at.clone(), what, instead);
    }
    let one = |selector: &raw::Placed<raw::Word<Selector>>| {
        selector.as_ref().map(|selector| vec![selector.get_ref().0.clone()])
    };
    let all = |selectors: &raw::Placed<raw::One<raw::Word<Selector>>>| -> Option<Vec<Selector>> {
        Some(selectors.as_ref()?.get_ref().0.iter().map(|word| word.0.clone()).collect())
    };
    let said =
        [all(&raw.bad), all(&raw.total), one(&raw.histogram), one(&raw.value), one(&raw.requests)];
    let by = raw.by.clone();
    let wanted = wanted(found, kind, at, said)?;
    let fold = fold(found, &wanted, &raw.fold);
    let spec = match wanted {
        Wanted::Ratio { bad, total } => Spec::Ratio(RatioSpec { bad, total, by }),
        Wanted::Histogram(mut family) => {
            Spec::Histogram(HistogramSpec { family: family.pop()?, by })
        }
        Wanted::Gauge { mut value, requests } => {
            let n = requests.and_then(|mut requests| requests.pop());
            Spec::Gauge(GaugeSpec { value: value.pop()?, fold, n, by })
        }
    };
    Some(Read::Scrape { targets: of.targets.keys().cloned().collect(), spec })
}
