// What no kernel may do, and which kernels have a reason to do otherwise. Patterns are of the beginnings of kernels' names.

/** Products on tensor cores. Those of float32 alone, gemm_f32, are multiply-adds: tensor cores would round to tf32. */
const product = /^gemm_(tf32|bf16|f16)_|^attention_(forward|backward_(queries|keys))_(large_)?b?f16/

/** Kernels that move 16 bytes at a time nowhere, and why. A warp's access is 32 neighbours where there are so many. */
export const narrow = {
  'adaptive_(start|estimate)_|[a-z_]+_(join|judge)_|tensor_finish|group_norm_rows':
    'a few numbers from each block or tensor',
  adaptive_prepare_: 'nothing, or before the first step every n-th element',
  adaptive_second_dAdaptLion: 'the rule has no such pass',
  'add_broadcast_|offset_shift_': 'what is added, or summed, lies apart: each element is found by dividing',
  'attention_(row_sums|softmax|gradient|backward_join)_':
    'scores of one row, channels of one head: neighbouring lanes take neighbours',
  'cast_to_(bool|u?int\\d)': 'ids and masks, short and rare',
  'column_sums_|layer_norm_(partial|parameters)_|group_norm_backward_(partial|total|parameters)_|reduce_join_':
    'a thread walks down a column',
  'group_norm_(partial|backward_group)_': 'the channels of a group are few, 10 of 320',
  conv2d_square_sums_: 'a thread sums four pixels of a channel',
  store_taps_: 'the file has the taps of a channel side by side, the tensor its channels',
  '(copy_tiles|copy_units|embedding|slice_pad)_[1248]_': 'units of as many bytes as the name says, where 16 do not fit',
  'image_to_tensor|posterior_sample|timestep_embedding|resize_|shift_hue': 'pixels of three bytes, latents, timesteps',
  '(de)?quantize_|optimizer_step_': 'a thread has one element of each 256 that share a scale',
  muon_normalize_bf16_: 'four neighbours to a thread, 8 bytes, as in the passes before it, which read float32 too',
}

/** Kernels that keep variables in local memory, and why. */
export const local = {
  timestep_embedding_: 'the digits of 2 / pi that cos and sin of CUDA take for a large angle',
}

const excused = (exceptions, { name }) =>
  Object.keys(exceptions).some((pattern) => new RegExp(`^(${pattern})`).test(name))
const accesses16 = (kernel) => kernel['LDG 16'] + kernel['STG 16'] + kernel.LDGSTS > 0

/** Rules on a kernel for an architecture; those that look at instructions only where they were counted. */
export const rules = [
  { what: 'spills registers', broken: ({ spillStores, spillLoads }) => spillStores + spillLoads > 0 },
  { what: 'keeps variables in local memory', broken: (kernel) => kernel.stack > 0 && !excused(local, kernel) },
  { what: 'does not fit on a multiprocessor', broken: ({ occupancy }) => occupancy === 0 },
  { what: 'does not bound its threads', broken: ({ threads }) => threads === null },
  { what: 'is a product without HMMA', counts: true, broken: ({ name, HMMA }) => product.test(name) && HMMA === 0 },
  {
    what: 'moves 16 bytes at a time nowhere',
    counts: true,
    broken: (kernel) => !accesses16(kernel) && !excused(narrow, kernel),
  },
]
