import type { MutatedFile } from './mutation.ts'

/** What drives a GPU: recordings, graphs, copies, pinned memory; and weights of 8 bits. */
export const runtime: readonly MutatedFile[] = [
  {
    file: 'core/recording.cpp',
    tests: ['native/repeatable', 'cuda/graphs'],
    mistakes: {
      'recording: an input may be changed in place': [
        'if (placeholder_storages_.count(update.get())) return',
        'if (false) return',
      ],
      'recording: ops that depend on the call are repeated': ['if (!job.repeatable) return', 'if (false) return'],
      'recording: a tensor that outlives the step is not noticed': [
        'std::any_of(made_.begin(), made_.end(), held) ||',
        '',
      ],
      'recording: memory goes back with the first job that names it': [
        'kept = jobs_.rbegin(); kept != jobs_.rend()',
        'kept = jobs_.begin(); kept != jobs_.end()',
      ],
      'recording: a run keeps its memory': ['for (Storage* storage : kept.last) storage->release();', ''],
      'recording: a graph works with what has failed': ['if (storage->failure) return true;', ''],
    },
  },
  {
    file: 'cuda/graphs.cpp',
    tests: ['cuda/graphs'],
    mistakes: {
      'graph: its last input stays that of the capture': [
        'i < inputs.size(); i++) device_.copy',
        'i + 1 < inputs.size(); i++) device_.copy',
      ],
      'graph: its first result is not copied out': [
        'for (size_t i = 0; i < outputs.size(); i++) device_',
        'for (size_t i = 1; i < outputs.size(); i++) device_',
      ],
      'graph: its memory is anybody’s': ['  device_.pool().use(&arena_);\n', ''],
      'graph: the last one leaves its memory taken': [
        'if (owner.captured_.empty()) owner.device_.pool().dissolve(owner.arena_);',
        '',
      ],
      'graph: memory is not given up for others': [
        'if (capturing_ || captured_.empty()) return false;',
        'return false;',
      ],
      'graph: a launch without memory is an error': ['if (result == kErrorOutOfMemory)', 'if (result == -1)'],
    },
  },
  {
    file: 'cuda/downloads.cpp',
    tests: ['cuda/copies'],
    mistakes: {
      'download: does not wait for the kernel before it': [
        '  check(driver_, "download", driver_.cuStreamWaitEvent(copy_, b.taken, 0));\n',
        '',
      ],
      'download: every piece goes to the beginning': ['static_cast<char*>(to) + done;', 'static_cast<char*>(to);'],
      'download: a failure is that of later reads too': ['  result_ = 0;\n', ''],
    },
  },
  {
    file: 'cuda/staging.cpp',
    tests: ['cuda/copies'],
    mistakes: {
      'upload: kernels do not wait for it': [
        '  check(driver_, "upload", driver_.cuStreamWaitEvent(compute_, b.copied, 0));\n',
        '',
      ],
      'upload: a block is filled while it is copied': [
        '  check(driver_, std::string("upload") + kOrAKernelBefore, driver_.cuEventSynchronize(b.copied));\n',
        '',
      ],
      'upload: a block’s twin is filled while it is read': [
        '  check(driver_, "upload", driver_.cuStreamWaitEvent(copy_, b.taken, 0));\n',
        '',
      ],
    },
  },
  {
    file: 'cuda/pinned.cpp',
    tests: ['cuda/paged'],
    mistakes: {
      'pinned: kernels have the host’s address': ['return {reinterpret_cast<void*>(data),', 'return {host,'],
      'pinned: given back while it is used': ['driver.cuStreamSynchronize(stream);', ''],
      'pinned: bytes given back are still counted': ['device.count_paged(-static_cast<int64_t>(bytes));', ''],
      'pinned: no memory is like any other error': ['if (r == kErrorOutOfMemory)', 'if (r == -1)'],
    },
  },
  {
    file: 'cuda/gpu.h',
    tests: ['ops/castFloat8'],
    sources: ['ops/cast/cast_cuda.cu'],
    mistakes: {
      'float8: what is too large is no number': ['bits > 0x7F800000 ? 0x7F : 0x7E', '0x7F'],
      'float8: halves are rounded up': ['0x7FFFF + (bits >> 20 & 1)', '0x80000'],
      'float8: small codes are twice as large': [
        'static_cast<float>(magnitude) * 0x1p-9f',
        'static_cast<float>(magnitude) * 0x1p-8f',
      ],
    },
  },
]
