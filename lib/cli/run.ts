/** The commands of `noisewright`. Each is imported when it runs, so that help and version are quick. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { describeTrainOptions } from '../config/describeTrainOptions.ts'
import { type DeviceText, expectedDevice, readDevice } from '../config/deviceName.ts'
import { type TrainerName, trainerNames } from '../config/trainOptions.ts'
import { type DemoMethodName, demoMethods } from '../demo/methods.ts'
import { exitCodes, NoisewrightError } from '../util/errors.ts'
import { packageRoot } from '../util/packageRoot.ts'
import type { DoctorCommandOptions } from './doctor.ts'
import { addFileCommands } from './fileCommands.ts'
import { type CliHost, processHost } from './host.ts'
import { addPrepareCommands } from './prepareCommands.ts'
import type { TrainCommandOptions } from './train.ts'

/** The trainings, in one sentence each. */
const trainings: Readonly<Record<TrainerName, string>> = {
  'fine-tune': 'Train the U-Net, and the text encoder where asked for, on pictures with metadata.',
  'train-db': 'Train U-Net and text encoder on a few pictures of a subject (DreamBooth).',
  'train-network': 'Train a LoRA, or another network beside a model that stays as it is.',
  'train-textual-inversion': 'Train the vectors of a new word.',
  'train-textual-inversion-xti': 'Train the vectors of a new word, for each layer of the U-Net (P+).',
}

const exitCodesInWords = `
Exit codes:
  ${exitCodes.ok}    done
  ${exitCodes.unexpected}    a fault of noisewright itself
  ${exitCodes.usage}    wrong options or configuration
  ${exitCodes.data}    unusable training data
  ${exitCodes.checkpoint}    a model file that is damaged or not what was asked for
  ${exitCodes.io}    a file that cannot be read or written
  ${exitCodes.native}    the native library does not load, or the device failed
  ${exitCodes.diverged}    a training whose losses or gradients are no longer finite
  ${exitCodes.interrupted}  interrupted: the step under way was finished, and a state saved that --resume goes on from`

/**
 * Runs one command line and never throws: errors are shown on the host's stderr.
 *
 * @param args without the names of the interpreter and the script
 * @param options passed to trainings
 * @returns the exit code, one of `exitCodes`
 */
export async function run(
  args: readonly string[],
  host: CliHost = processHost,
  options: TrainCommandOptions = {},
): Promise<number> {
  let exitCode: number = exitCodes.ok
  const program = buildProgram(host, options, (code) => {
    exitCode = code
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    // Commander has shown its message or the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    host.stderr.write(`${describeError(error)}\n`)
    return error instanceof NoisewrightError ? error.exitCode : exitCodes.unexpected
  }
}

function buildProgram(host: CliHost, options: TrainCommandOptions, setExitCode: (code: number) => void): Command {
  const { version, description } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as {
    version: string
    description: string
  }
  const program = new Command('noisewright')
    .description(description)
    .version(version)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => host.stdout.write(text),
      writeErr: (text) => host.stderr.write(text),
      getOutHelpWidth: () => host.stdout.columns ?? 100,
      getErrHelpWidth: () => host.stderr.columns ?? 100,
    })
    .addHelpText('after', exitCodesInWords)

  for (const trainer of trainerNames) {
    // Its options are read by our own table, which reports every problem at once and knows what comes later.
    program
      .command(trainer)
      .description(trainings[trainer])
      .usage('--pretrained_model_name_or_path <model> --dataset_config <file> --output_dir <folder> [options]')
      .allowUnknownOption()
      .allowExcessArguments()
      .addHelpText('after', () => `\n${describeTrainOptions(trainer, Math.min(120, host.stdout.columns ?? 100))}\n`)
      .action(async (_options, command: Command) => {
        const { trainCommand } = await import('./train.ts')
        setExitCode(await trainCommand(trainer, command.args, host, options))
      })
  }

  program
    .command('plot-schedule')
    .description('Draw the learning rates that a training would step with.')
    .usage('[--svg <file>] [training] [its options: --lr_scheduler, --max_train_steps, --unet_lr, ...]')
    .option('--svg <file>', 'draw them into this file too')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async (options: { svg?: string }, command: Command) => {
      const { plotScheduleCommand } = await import('./plotSchedule.ts')
      setExitCode(await plotScheduleCommand(...trainerOf(command.args), options, host))
    })

  program
    .command('plan')
    .description('Say what a training would do with its data and what it would need, without loading a model.')
    .usage('[--json] [training] [its options: --dataset_config, --train_batch_size, ...]')
    .option('--json', 'as JSON')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async (options: { json?: boolean }, command: Command) => {
      const { planCommand } = await import('./plan.ts')
      setExitCode(await planCommand(...trainerOf(command.args), options, host))
    })

  program
    .command('verify-resume')
    .description('Train a few steps, at once and with a stop half-way, and compare the results bit by bit.')
    .usage('[--steps <n>] [training] [its options]')
    .option('--steps <number>', 'optimizer steps of each run (4)', wholeNumber)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async (options: { steps?: number }, command: Command) => {
      const { verifyResumeCommand } = await import('./verifyResume.ts')
      setExitCode(await verifyResumeCommand(...trainerOf(command.args), options, host))
    })

  program
    .command('debug-dataset')
    .description('Show the batches that a training would train on: listed, in a file, or as a page.')
    .usage('[--html <file>] [--port <port>] [--max_batches <n>] [training] [its options]')
    .option('--html <file>', 'write a page with the first batches into this file')
    .option('--port <port>', 'serve a page to this machine at this port; 0: any free one', wholeNumber)
    .option('--max_batches <number>', 'batches that are listed, or in the file (20)', wholeNumber)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async (options: { html?: string; port?: number; max_batches?: number }, command: Command) => {
      const { debugDatasetCommand } = await import('./debugDataset.ts')
      const { max_batches: maxBatches, ...where } = options
      const given = { ...where, ...(maxBatches === undefined ? {} : { maxBatches }) }
      setExitCode(await debugDatasetCommand(...trainerOf(command.args), given, host))
    })

  program
    .command('demo')
    .description(
      'Teach the model of the package something new, and show what it drew before and after. Needs no files.',
    )
    .option('--folder <folder>', 'where everything is written', 'out/demo')
    .addOption(new Option('--method <method>', 'how it is taught').choices(Object.keys(demoMethods)).default('lora'))
    .option('--steps <number>', 'optimizer steps; default: as many as the method needs', wholeNumber)
    .option('--seed <number>', 'seed of the training', wholeNumber)
    .action(async (options: { folder: string; method: DemoMethodName; steps?: number; seed?: number }) => {
      const { demoCommand } = await import('./demo.ts')
      setExitCode(await demoCommand(options, host))
    })

  program
    .command('explain')
    .description('Say what an option of a dataset file or of a training means, and which rules mention it.')
    .argument('[option]', 'its name, with dashes or without; all names when left out')
    .allowUnknownOption()
    .action(async (name: string | undefined) => {
      const { explainCommand } = await import('./explain.ts')
      setExitCode(explainCommand(name, host))
    })

  program
    .command('schema')
    .description('Print the JSON Schema of dataset files, for editors.')
    .action(async () => {
      const { schemaCommand } = await import('./explain.ts')
      setExitCode(schemaCommand(host))
    })

  program
    .command('doctor')
    .description('Say what this machine, the native binary and the GPU driver are; fit for a bug report.')
    .option('--json', 'as JSON')
    .option(
      '--kernels [op...]',
      'also run kernels, of all ops or of those named, compare them with the CPU and time them',
    )
    .addOption(new Option('--device <device>', 'whose kernels run').argParser(deviceName).default('cuda'))
    .addOption(
      new Option('--size <size>', 'shapes of Stable Diffusion 1.5, or small ones')
        .choices(['small', 'full'])
        .default('full'),
    )
    .action(async (options: DoctorCommandOptions) => {
      const { doctorCommand } = await import('./doctor.ts')
      setExitCode(await doctorCommand(options, host))
    })

  addFileCommands(program, host, setExitCode)
  addPrepareCommands(program, host, setExitCode)
  return program
}

/** Commands about a training take its name first; train-network when there is none. */
function trainerOf([first, ...others]: readonly string[]): [trainer: TrainerName, args: readonly string[]] {
  const named = trainerNames.find((name) => name === first)
  if (named !== undefined) return [named, others]
  return ['train-network', first === undefined ? [] : [first, ...others]]
}

function deviceName(text: string): DeviceText {
  const device = readDevice(text)
  if (device === undefined) throw new InvalidArgumentError(`Expected ${expectedDevice}.`)
  return device
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Expected a whole number.')
  return Number(text)
}

/** One clear message for what the user can mend; the stack for what they cannot. */
function describeError(error: unknown): string {
  if (error instanceof NoisewrightError) return `error: ${error.message}`
  const details = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return `error: a fault of noisewright itself; please report it with these lines:\n${details}`
}
