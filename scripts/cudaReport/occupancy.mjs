// How many warps of a kernel a multiprocessor can hold at once, as a share of the most it can.

/**
 * Of a multiprocessor, by compute capability times ten: "Technical Specifications per Compute Capability" and "Shared Memory" of the CUDA
 * C++ Programming Guide. Shared memory in bytes, of which every block takes 1,024 for the system.
 */
export const limits = {
  80: { warps: 64, blocks: 32, registers: 65536, sharedBytes: 164 * 1024 },
  86: { warps: 48, blocks: 16, registers: 65536, sharedBytes: 100 * 1024 },
  89: { warps: 48, blocks: 24, registers: 65536, sharedBytes: 100 * 1024 },
  90: { warps: 64, blocks: 32, registers: 65536, sharedBytes: 228 * 1024 },
  100: { warps: 64, blocks: 32, registers: 65536, sharedBytes: 228 * 1024 },
  120: { warps: 48, blocks: 24, registers: 65536, sharedBytes: 100 * 1024 },
}

const reservedBytes = 1024
/** Registers are given to warps in pieces of this many, shared memory to blocks in pieces of so many bytes. */
const registerPiece = 256
const sharedPiece = 128
/** Warps of a multiprocessor belong to four schedulers, each with a quarter of the registers. */
const schedulers = 4

const roundUp = (value, piece) => Math.ceil(value / piece) * piece

/**
 * The share of warps that can be there at once, from 0 to 1.
 * @param architecture a key of `limits`
 */
export function occupancy(architecture, { threads, registers, sharedBytes }) {
  const { warps, blocks, registers: all, sharedBytes: shared } = limits[architecture]
  const ofBlock = Math.ceil(threads / 32)
  const perScheduler = Math.floor(all / schedulers / roundUp(registers * 32, registerPiece))
  const byRegisters = Math.floor((perScheduler * schedulers) / ofBlock)
  const byShared = Math.floor(shared / roundUp(sharedBytes + reservedBytes, sharedPiece))
  const resident = Math.min(blocks, Math.floor(warps / ofBlock), byRegisters, byShared)
  return (resident * ofBlock) / warps
}
