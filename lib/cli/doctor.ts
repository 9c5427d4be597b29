import type { KernelResult } from '../doctor/checkKernels.ts'
import type { CaseSize } from '../doctor/kernelCase.ts'
import type { KernelReport } from '../doctor/kernelReport.ts'
import { type CudaReport, type MachineReport, machineReport } from '../doctor/machineReport.ts'
import type { DeviceName } from '../tensor/tensor.ts'
import { exitCodes } from '../util/errors.ts'
import { formatBytes, printable } from './format.ts'
import type { CliHost } from './host.ts'

export interface DoctorCommandOptions {
  readonly json?: boolean
  /** Given: run kernels, of these ops or, where there are none, of all. */
  readonly kernels?: readonly string[] | true
  readonly device: DeviceName
  readonly size: CaseSize
}

/**
 * `noisewright doctor`: what a report about this machine should hold, and with `--kernels` whether its kernels compute what they should,
 * and how fast.
 *
 * @returns the exit code: that of native failures when no binary loads or a kernel is wrong
 * @throws NativeError where kernels are to run on a device that cannot be used, ArgumentError for an op that has none
 */
export async function doctorCommand(
  { json = false, kernels, device, size }: DoctorCommandOptions,
  host: CliHost,
): Promise<number> {
  const machine = await machineReport()
  if (!json) host.stdout.write(`${describeMachine(machine).join('\n')}\n`)
  let report: KernelReport | null = null
  if (kernels !== undefined && machine.binary.loaded !== null) {
    const { kernelReport } = await import('../doctor/kernelReport.ts')
    if (!json) host.stdout.write(`\n${kernelHeading(device, size, machine).join('\n')}\n${line(heads)}\n`)
    const onResult = (result: KernelResult): unknown => json || host.stdout.write(`${line(cells(result))}\n`)
    report = await kernelReport({ device, size, ops: kernels === true ? [] : kernels, onResult })
  }
  const wrong = report?.results.filter(({ passed }) => !passed) ?? []
  if (json) host.stdout.write(`${JSON.stringify({ ...machine, kernels: report }, null, 2)}\n`)
  else if (report) host.stdout.write(`\n${describeResults(report, wrong.length).join('\n')}\n`)
  return machine.binary.loaded === null || wrong.length > 0 ? exitCodes.native : exitCodes.ok
}

/** A machine as lines for people. */
export function describeMachine({ cpu, memory, binary, cuda, ...machine }: MachineReport): string[] {
  const sets = cpu.instructionSets
    ? `${cpu.instructionSet}, of ${cpu.instructionSets.join(', ')}`
    : 'unknown without a native binary'
  const lines = [
    `noisewright ${machine.noisewright}, Node ${machine.node}, ${machine.system}`,
    `processor: ${cpu.model}; ${cpu.cores} cores usable${cpu.threads === null ? '' : `, ${cpu.threads} threads used`}`,
    `instruction set: ${sets}`,
    `memory: ${formatBytes(memory.totalBytes)}, ${formatBytes(memory.freeBytes)} free`,
    `binary: ${binary.loaded ?? 'none loads'}`,
    ...binary.tried.map(({ path, error }) => `  tried ${path}: ${error ?? 'loaded'}`),
    ...(binary.problem?.split('\n').map((text) => `  ${text}`) ?? []),
    ...(cuda ? describeCuda(cuda) : []),
  ]
  return lines.map(printable)
}

function describeCuda({ toolkit, architectures, unavailable, driverCuda, withoutGraphs, gpus }: CudaReport): string[] {
  const built = architectures.map((name) => `sm_${name}`).join(', ')
  return [
    `CUDA kernels: ${toolkit ? `compiled by CUDA ${toolkit} for ${built}` : 'none in this build'}`,
    `CUDA driver: ${driverCuda === null ? (unavailable ?? 'none') : `serves CUDA ${driverCuda}`}`,
    ...gpus.map(({ device, name, multiprocessors, clockMHz, totalBytes, freeBytes, ...gpu }) => {
      const units = multiprocessors === null ? '' : `, ${multiprocessors} multiprocessors`
      const clock = clockMHz === null ? '' : ` at ${clockMHz.toFixed(0)} MHz`
      const free = freeBytes === null ? '' : `, ${formatBytes(freeBytes)} free`
      const reason = gpu.unavailable === null ? '' : `; not usable: ${gpu.unavailable}`
      return `  ${device}: ${name}, compute capability ${gpu.computeCapability}${units}${clock}, ${formatBytes(totalBytes)}${free}${reason}`
    }),
    ...(withoutGraphs === null ? [] : [`CUDA graphs: not used: ${withoutGraphs}`]),
    ...(driverCuda !== null && unavailable !== null ? [`  not usable: ${unavailable}`] : []),
  ]
}

function kernelHeading(device: DeviceName, size: CaseSize, { cpu, cuda }: MachineReport): string[] {
  const name =
    device === 'cpu'
      ? `${cpu.model}, ${cpu.instructionSet}`
      : (cuda?.gpus.find((gpu) => gpu.device === device)?.name ?? 'no GPU')
  const other = device === 'cpu' ? 'the instruction set baseline' : 'the CPU'
  return [
    `kernels on ${printable(name)} against float32 on ${other}, ${size} shapes`,
    'rms and max: errors as shares of the root mean square of the expected numbers; of tol: the worst as a share of what is allowed',
  ]
}

const heads = ['op', 'pass', 'dtype', 'rms', 'max', 'of tol', '', 'ms', 'GB/s', 'GFLOP/s', 'of peak', 'shapes']
const widths = [34, 8, 8, 8, 8, 7, 6, 9, 7, 9, 7, 0]

function line(row: readonly string[]): string {
  return row
    .map((cell, i) => (i < 3 || i === widths.length - 1 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
    .join(' ')
    .trimEnd()
}

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`

function cells({ op, pass, dtype, shape, passed, failure, difference, ...speed }: KernelResult): string[] {
  const number = (value: number | null, digits: number): string => (value === null ? '' : value.toFixed(digits))
  const errors = difference
    ? [difference.rms.toExponential(1), difference.max.toExponential(1), percent(difference.share)]
    : ['', '', '']
  const times = [number(speed.medianMs, 3), number(speed.gbs, 1), number(speed.gflops, 0)]
  const share = speed.peakShare === null ? '' : percent(speed.peakShare)
  return [op, pass, dtype, ...errors, passed ? 'pass' : 'FAIL', ...times, share, printable(failure ?? shape)]
}

function describeResults({ results, peaks, device }: KernelReport, wrong: number): string[] {
  const { float32, bfloat16 } = peaks.gflops
  const products =
    device === 'cpu'
      ? `${float32!.toFixed(0)} GFLOP/s measured in float32`
      : float32 === null || bfloat16 === null
        ? 'products unknown'
        : `${float32.toFixed(0)} GFLOP/s in float32 and ${bfloat16.toFixed(0)} in 16 bits by multiprocessors and clock`
  return [
    `peaks: ${peaks.gbs.toFixed(1)} GB/s measured by a + b; ${products}`,
    wrong === 0
      ? `all ${results.length} results agree`
      : `${wrong} of ${results.length} results disagree: please report them with the output of doctor --kernels --json`,
  ]
}
