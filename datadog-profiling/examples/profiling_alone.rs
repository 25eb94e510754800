//! Profiles this program for two seconds and uploads the profile to the agent that the environment names.

#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_profiling::Profiler;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = DDConfig::builder().service("profiled").build()?;
    let profiler = Profiler::start(&config)?;
    profiler.start_sampling();
    // It begins within a second. A program as short as this one waits for that.
    profiler.flush(Duration::from_secs(10));
    println!("{} prime numbers", count_primes(Duration::from_secs(2)));
    println!("{}", profiler.flush(Duration::from_secs(10)));
    println!("{}", profiler.health());
    Ok(())
}

fn count_primes(time: Duration) -> usize {
    let end = Instant::now() + time;
    let numbers = (2..).take_while(|_| Instant::now() < end);
    numbers.filter(|number| is_prime(*number)).count()
}

fn is_prime(number: u64) -> bool {
    !(2..number).any(|divisor| number.is_multiple_of(divisor))
}
