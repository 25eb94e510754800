//! `cargo xtask help`: what there is.

use crate::Outcome;

const TEXT: &str = "\
Tasks of this workspace: cargo xtask TASK

  demo         run the example program against a local agent and show what arrived
               (no account, no Datadog Agent, no Python); with --flamegraph FILE, also
               as a picture (SVG) of what the time was spent in
  test [ARGS]  run all tests: unit, integration and doc tests, and the conformance tests
               against Datadog's APM test agent and Python client, which it installs
               under target/ (needs python3); ARGS go to `cargo test`
  faults       run the client under every fault, and put what became of its items into
               docs/reliability.md; with --long, 20 restarts of the agent in a minute
  options      write docs/configuration.md from the table of options
  bench [NAME] [ARGS]
               run the benches of one of metrics, logs, trace …, or of all, beside its peers,
               and put the results into docs/benchmarks.md; ARGS go to criterion
  fuzz [SECONDS] [TARGET]
               run each fuzz target, or one, for 60 s or as long as you say (needs a C++
               compiler)
  verify [TOOL]
               what threads could do to each other, undefined behaviour and data races: loom
               (models of the queue, of flush and of shutdown), miri, tsan (both need the
               nightly toolchain), stress (a minute of a profiler that interrupts the
               allocator, the loader, panics, forks and threads that begin and end),
               stacks (profiles of a program built with fat LTO and panics that abort),
               msrv (the crates and their tests with the oldest Rust that will do), musl
               (the tests in static programs, as in Alpine and in empty containers)
  ci           what has to pass before a merge: format, lints, docs, each feature alone,
               the models of loom, and `test`
  help         this list

Plain `cargo test` works too, needs no Python, and says which tests it left out.
";

pub(crate) fn run() -> Outcome {
    print!("{TEXT}");
    Ok(())
}
