//! Asks CloudWatch, once for each period that has ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{
    Metric, Options, Series, Spec, Term, Wants, Whole, Window,
    kept::{Kept, LATE_PERIODS, gauge},
    search::{Barred, Search},
};
use crate::{
    aws::{self, Kind},
    sources::reading::{Class, Fault, Poll},
    units::{Span, UnixMs},
};

/// A daemon that was silent for longer asks for what is newer.
const PERIODS_MAX: i64 = 15;

/// What is known of the signals of one account at one pace.
#[derive(Clone, Debug)]
pub struct Reader {
    options: Options,
    specs: Vec<Spec>,
    kept: Vec<Kept>,
    barred: Barred,
    /// The end of the newest period that was asked for, and of the newest that was answered.
    asked: Option<UnixMs>,
    answered: Option<UnixMs>,
}

impl Reader {
    /// For these signals, in this order.
    pub fn new(options: Options, specs: Vec<Spec>) -> Self {
        let kept = vec![Kept::default(); specs.len()];
        let barred = Barred::default();
        Self { options, specs, kept, barred, asked: None, answered: None }
    }

    /// What it is asked, and how.
    pub fn asks(&self) -> (&Options, &[Spec]) {
        (&self.options, &self.specs)
    }

    /// A poll of each signal; none where no period has ended since the last.
    pub async fn poll(&mut self, now: UnixMs) -> Option<Vec<Poll>> {
        let until = Window::newest(&self.options, now);
        if self.asked.is_some_and(|asked| asked >= until) {
            return None;
        }
        self.asked = Some(until);
        let window = self.window(until);
        let mut polls = vec![Poll::default(); self.specs.len()];
        let (mut search, silent) = self.barred.search(&self.specs, now);
        for (number, fault) in silent {
            polls[number] = Poll::failed(failed(&fault));
        }
        let (mut answered, mut is_open) = (BTreeSet::new(), false);
        while let Some(batch) = search.next() {
            let begun = Instant::now();
            let answer = match send(&self.options, &batch, window).await {
                Ok(answer) => Ok(answer),
                Err(fault) => match search.failed(&batch, fault) {
                    Some(fault) => Err(fault),
                    None => continue,
                },
            };
            if answer.is_ok() {
                search.answered(&batch);
                answered.extend(batch.signals.iter().map(|(number, _)| *number));
            }
            for (number, ids) in &batch.signals {
                let mut poll = match &answer {
                    Ok(answer) => {
                        read(&self.specs[*number], &mut self.kept[*number], window, ids, answer)
                    }
                    Err(fault) => Poll::failed(failed(fault)),
                };
                poll.took = begun.elapsed();
                polls[*number] = poll;
                // Who is refused holds nobody back: the same was answered to all others.
                is_open |= answer.is_err() && !search.is_refused(*number);
            }
        }
        self.barred.learn(&search, &answered, now);
        if !is_open {
            self.answered = Some(until);
        }
        Some(polls)
    }

    /// From what was answered last, and some before it, for they may come late.
    fn window(&self, until: UnixMs) -> Window {
        let period = self.options.period;
        let known = self.answered.unwrap_or(until - period) - period * LATE_PERIODS;
        Window { from: known.max(until - period * PERIODS_MAX), until, period }
    }
}

fn read(
    spec: &Spec,
    kept: &mut Kept,
    window: Window,
    ids: &[String],
    answer: &BTreeMap<String, Series>,
) -> Poll {
    let missing = Series::default();
    let of = |at: usize| ids.get(at).and_then(|id| answer.get(id)).unwrap_or(&missing);
    match &spec.wants {
        Wants::Ratio { .. } => kept.ratio(window, of(0), of(1)),
        Wants::Gauge { requests, .. } => gauge(window, of(0), requests.as_ref().map(|_| of(1))),
    }
}

/// It never says anything about the service.
fn failed(fault: &aws::Fault) -> Fault {
    let class = if fault.passes() { Class::Down } else { Class::Unknown };
    Fault::Failed { class, why: fault.to_string() }
}

/// Asks for the newest period once, to see whether CloudWatch understands: what is wrong with each signal, or why CloudWatch refuses
/// that one.
pub async fn asked_once(
    options: &Options,
    specs: &[Spec],
    now: UnixMs,
) -> Result<Vec<Result<Poll, aws::Fault>>, aws::Fault> {
    let until = Window::newest(options, now);
    let window =
        Window { from: until - options.period * LATE_PERIODS, until, period: options.period };
    let mut polls = vec![Ok(Poll::default()); specs.len()];
    each(options, specs, window, |number, ids, answer| {
        polls[number] = answer
            .map(|answer| read(&specs[number], &mut Kept::default(), window, ids, answer))
            .map_err(Clone::clone);
    })
    .await?;
    Ok(polls)
}

/// So far back is looked for anything at all.
const LOOKED_BACK: Span = Span::hours(24);

/// Metrics of which nothing was seen for a day: of each signal their names in the file. A name that is wrong looks like that, and
/// so do errors that never were.
pub async fn unseen<'s>(
    options: &Options,
    specs: &'s [Spec],
    now: UnixMs,
) -> Result<Vec<Vec<(&'s str, &'s Metric)>>, aws::Fault> {
    let named: Vec<(usize, (&str, &Metric))> = (specs.iter().enumerate())
        .flat_map(|(number, spec)| spec.metrics_named().into_iter().map(move |it| (number, it)))
        .collect();
    let alone = |(_, (_, metric)): &(usize, (&str, &Metric))| Spec {
        named: BTreeMap::new(),
        wants: Wants::Gauge { value: Term::Metric((*metric).clone()), requests: None },
    };
    let metrics: Vec<Spec> = named.iter().map(alone).collect();
    let period = Span::hours(1);
    let from = UnixMs((now - LOOKED_BACK).0.div_euclid(period.ms()) * period.ms());
    let window = Window { from, until: now, period };
    let options = Options { period, ..options.clone() };
    let mut unseen = vec![vec![]; specs.len()];
    each(&options, &metrics, window, |at, ids, answer| {
        let series = ids.first().zip(answer.ok()).and_then(|(id, answer)| answer.get(id));
        // What is refused or not whole says nothing of what there is.
        if series.is_some_and(|it| it.whole == Whole::Complete && it.points.is_empty()) {
            let (number, metric) = named[at];
            unseen[number].push(metric);
        }
    })
    .await?;
    Ok(unseen)
}

/// Of each signal what was answered, or why it is refused.
async fn each(
    options: &Options,
    specs: &[Spec],
    window: Window,
    mut take: impl FnMut(usize, &[String], Result<&BTreeMap<String, Series>, &aws::Fault>),
) -> Result<(), aws::Fault> {
    let mut search = Search::of(specs, 0..specs.len());
    while let Some(batch) = search.next() {
        match send(options, &batch, window).await {
            Ok(answer) => {
                search.answered(&batch);
                for (number, ids) in &batch.signals {
                    take(*number, ids, Ok(&answer));
                }
            }
            Err(fault) => {
                let Some(fault) = search.failed(&batch, fault) else { continue };
                let Kind::Refused { .. } = fault.kind else { return Err(fault) };
                for (number, ids) in &batch.signals {
                    take(*number, ids, Err(&fault));
                }
            }
        }
    }
    Ok(())
}

#[cfg(feature = "aws")]
use with_the_sdk::send;

#[cfg(not(feature = "aws"))]
async fn send(
    _: &Options,
    _: &super::request::Batch,
    _: Window,
) -> Result<BTreeMap<String, Series>, aws::Fault> {
    Err(aws::Fault::not_built_in("cloudwatch:GetMetricData"))
}

#[cfg(feature = "aws")]
mod with_the_sdk {
    use std::collections::BTreeMap;

    use aws_sdk_cloudwatch::types::{
        Dimension, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StatusCode,
    };
    use aws_smithy_types::DateTime;

    use crate::sources::cloudwatch::{
        Metric, Options, Series, Term, Whole, Window,
        request::{Batch, Query},
    };
    use crate::{
        aws::{Account, Fault, Kind},
        units::Span,
    };

    const ACTION: &str = "cloudwatch:GetMetricData";
    /// An answer in more pages is no answer to what we ask.
    const PAGES_MAX: usize = 20;

    /// One request, with all of its pages.
    pub(super) async fn send(
        options: &Options,
        batch: &Batch,
        window: Window,
    ) -> Result<BTreeMap<String, Series>, Fault> {
        let clients = Account::of(&options.access)?.to_look().await;
        let queries: Vec<MetricDataQuery> =
            batch.queries.iter().map(|query| asked(query, options.period)).collect();
        let mut answer: BTreeMap<String, Series> = BTreeMap::new();
        let mut next = None;
        for _ in 0..PAGES_MAX {
            let request = clients
                .cloudwatch()
                .get_metric_data()
                .set_metric_data_queries(Some(queries.clone()))
                .start_time(DateTime::from_millis(window.from.0))
                .end_time(DateTime::from_millis(window.until.0))
                .scan_by(ScanBy::TimestampAscending)
                .set_next_token(next);
            let page = request.send().await.map_err(|fault| clients.fault(ACTION, fault))?;
            for result in page.metric_data_results() {
                add(&mut answer, result);
            }
            next = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if next.is_none() {
                return Ok(answer);
            }
        }
        let said = format!("the answer has more than {PAGES_MAX} pages");
        Err(Fault::new(ACTION, Kind::Refused { code: "too long".to_owned() }, &said))
    }

    fn asked(query: &Query, period: Span) -> MetricDataQuery {
        let seconds = i32::try_from(period.ms() / 1000).unwrap_or(60);
        let asked = MetricDataQuery::builder().id(&query.id).return_data(query.returned);
        match &query.term {
            Term::Expression(text) => asked.expression(text).period(seconds).build(),
            Term::Metric(metric) => asked.metric_stat(statistic(metric, seconds)).build(),
        }
    }

    fn statistic(metric: &Metric, seconds: i32) -> MetricStat {
        let dimension = |(name, value): (&String, &String)| {
            Dimension::builder().name(name).value(value).build()
        };
        let of = aws_sdk_cloudwatch::types::Metric::builder()
            .namespace(&metric.namespace)
            .metric_name(&metric.name)
            .set_dimensions(Some(metric.dimensions.iter().map(dimension).collect()));
        MetricStat::builder().metric(of.build()).period(seconds).stat(&metric.stat).build()
    }

    /// Of several pages the last says how whole it is; of two rows for one query nobody knows which is meant.
    fn add(answer: &mut BTreeMap<String, Series>, result: &MetricDataResult) {
        let Some(id) = result.id() else { return };
        let said: Vec<&str> = result.messages().iter().filter_map(|it| it.value()).collect();
        let said = said.join("; ");
        let series = answer.entry(id.to_owned()).or_default();
        let starts = result.timestamps().iter().filter_map(|at| at.to_millis().ok());
        let mut twice = false;
        for (start, value) in starts.zip(result.values()) {
            twice |= series.points.insert(start, *value).is_some();
        }
        series.whole = match result.status_code() {
            _ if twice => {
                Whole::Partial("several rows; make one of them, with SUM() or MAX()".to_owned())
            }
            Some(StatusCode::Complete) => Whole::Complete,
            Some(StatusCode::InternalError) => Whole::Failed(said),
            Some(StatusCode::Forbidden) => Whole::Forbidden(said),
            // What is new is not known to be whole.
            _ => Whole::Partial(said),
        };
    }
}
