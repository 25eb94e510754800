mod encode;
mod pprof_sampler;
mod profiler;
mod protobuf;
mod sample;
mod sink;
mod symbol;
mod timestamp;
mod upload;

pub use profiler::Profiler;
