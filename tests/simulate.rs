//! Many worlds at once: `make simulate N=300000`. A failing seed prints itself, its shortest failing beginning and the story.
//!
//! `cargo test --profile simulate --test simulate -- 20000` lives through worlds until so many incidents were had, from seed
//! 0 on; `-- 20000 FIRST` begins at another seed, and `-- seed S` tells the story of one.

#![expect(clippy::unwrap_used, reason = "a world that cannot be read again is no world")]

#[path = "pure/world/mod.rs"]
#[expect(dead_code, reason = "the integration tests look closer at a world, and at single steps")]
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use world::{Bases, Life, Script, Tally, live, shortest};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeds that a thread takes at a time.
const AT_ONCE: u64 = 32;
/// Failing seeds whose story is told.
const TOLD_MAX: usize = 3;
/// Characters of a panic that are told; it is printed whole where it happens.
const PANIC_MAX: usize = 300;
/// Failing seeds that are named.
const LISTED_MAX: usize = 100;

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let number = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok());
    if words.first().is_some_and(|word| word == "seed") {
        return tell(number(1).unwrap_or(0));
    }
    simulate(number(0).unwrap_or(1_000), number(1).unwrap_or(0))
}

/// The story of one seed.
fn tell(seed: u64) -> ExitCode {
    let life = live(&mut Bases::default(), seed, Script::thrown(seed), true);
    life.story.iter().for_each(|line| println!("{line}"));
    println!("seed {seed}, journal {}: {:?}", life.fingerprint, life.violation);
    if life.violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[derive(Default)]
struct Sum {
    tally: Tally,
    failed: Vec<(u64, String)>,
}

fn simulate(wanted: u64, first: u64) -> ExitCode {
    let begun = Instant::now();
    let (next, incidents) = (AtomicU64::new(first), AtomicU64::new(0));
    let sum = Mutex::new(Sum::default());
    let done = AtomicBool::new(false);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..cores).map(|_| scope.spawn(|| work(wanted, &next, &incidents, &sum))).collect();
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_secs(2));
                progress(incidents.load(Ordering::Relaxed), wanted, begun, cores);
            }
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        done.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
    });
    let Sum { tally, mut failed } = sum.into_inner().unwrap();
    failed.sort();
    let mut bases = Bases::default();
    for (seed, violation) in failed.iter().take(TOLD_MAX) {
        println!("\nseed {seed}: {violation}");
        if violation.starts_with("panicked") {
            continue;
        }
        if let Some((length, life)) = shortest(&mut bases, *seed) {
            println!("its first {length} happenings suffice:");
            life.story.iter().for_each(|line| println!("{line}"));
        }
    }
    println!("\n{tally}");
    println!(
        "seeds {first} to {} in {:.1} s",
        next.load(Ordering::Relaxed) - 1,
        begun.elapsed().as_secs_f64()
    );
    for (seed, violation) in failed.iter().take(LISTED_MAX) {
        println!("failing seed {seed}: {violation}");
    }
    println!("{wanted} incidents, {} violations", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Lives through seed after seed until enough incidents were had.
fn work(wanted: u64, next: &AtomicU64, incidents: &AtomicU64, sum: &Mutex<Sum>) {
    let mut bases = Bases::default();
    let mut mine = Sum::default();
    while incidents.load(Ordering::Relaxed) < wanted {
        let from = next.fetch_add(AT_ONCE, Ordering::Relaxed);
        let before = mine.tally.incidents;
        for seed in from..from + AT_ONCE {
            match lived(&mut bases, seed) {
                Ok(life) => {
                    mine.tally.add(&life.tally);
                    mine.failed.extend(life.violation.map(|how| (seed, how)));
                }
                Err(panic) => mine.failed.push((seed, panic)),
            }
        }
        incidents.fetch_add(mine.tally.incidents - before, Ordering::Relaxed);
    }
    let mut sum = sum.lock().unwrap();
    sum.tally.add(&mine.tally);
    sum.failed.extend(mine.failed);
}

/// A panic is a violation as well: it is told with its seed, and the other worlds go on.
fn lived(bases: &mut Bases, seed: u64) -> Result<Life, String> {
    let life = || live(bases, seed, Script::thrown(seed), false);
    catch_unwind(AssertUnwindSafe(life)).map_err(|panic| {
        *bases = Bases::default();
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
        format!(
            "panicked: {}",
            text.unwrap_or_default().chars().take(PANIC_MAX).collect::<String>()
        )
    })
}

fn progress(incidents: u64, wanted: u64, begun: Instant, cores: usize) {
    let each = incidents as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{incidents} of {wanted} incidents, {each:.0} a second, {:.0} a second and core",
        each / cores as f64
    );
}
