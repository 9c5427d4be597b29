/** The commands that look at model files and rewrite them. */
import { type Command, Option } from 'commander'
import { exitCodes } from '../util/errors.ts'
import type { ModelTargetOptions } from './convert.ts'
import type { CliHost } from './host.ts'
import type { MergeLoraCommandOptions } from './mergeLora.ts'

/** Adds `inspect`, `convert`, `merge-lora` and `metadata`. The names of options are those of other trainers' scripts. */
export function addFileCommands(program: Command, host: CliHost, setExitCode: (code: number) => void): void {
  program
    .command('inspect')
    .description(
      'Say what model files are, without loading them: kind, version, types, LoRA ranks, what is suspicious.',
    )
    .argument('<file...>', 'checkpoints, LoRAs, textual inversions, diffusers folders')
    .option('--json', 'print the whole report as JSON')
    .addHelpText(
      'after',
      `\nExits with ${exitCodes.checkpoint} when one of the files is damaged or is not loaded here.`,
    )
    .action(async (paths: string[], options: { json?: boolean }) => {
      const { inspectCommand } = await import('./inspect.ts')
      setExitCode(await inspectCommand(paths, options, host))
    })

  program
    .command('metadata')
    .description('Show the metadata of a safetensors file.')
    .argument('<file>')
    .option('--key <name>', 'print this text alone, as it is')
    .option('--json', 'print JSON')
    .action(async (path: string, options: { key?: string; json?: boolean }) => {
      const { metadataCommand } = await import('./metadata.ts')
      setExitCode(await metadataCommand(path, options, host))
    })

  const convert = program
    .command('convert')
    .description('Convert a model between single files and diffusers folders, or a LoRA or textual inversion file.')
    .argument('<source>', 'a file, a diffusers folder or a hub id')
    .argument('<target>', 'a file or a folder to be written')
    .addOption(new Option('--lora_style <style>', 'spelling of LoRA keys').choices(['kohya', 'diffusers', 'comfyui']))
  addModelOptions(convert).action(async (source: string, target: string, options: ModelTargetOptions) => {
    const { convertCommand } = await import('./convert.ts')
    setExitCode(await convertCommand(source, target, options, host))
  })

  const merge = program
    .command('merge-lora')
    .description('Merge LoRA files into the weights of a model, for good.')
    .argument('<model>', 'a file, a diffusers folder or a hub id')
    .requiredOption('--lora <file...>', 'LoRA files, each with its strength after a colon or not: frog.safetensors:0.8')
    .requiredOption('--output <target>', 'a file or a folder to be written')
  addModelOptions(merge).action(async (model: string, options: MergeLoraCommandOptions) => {
    const { mergeLoraCommand } = await import('./mergeLora.ts')
    setExitCode(await mergeLoraCommand(model, options, host))
  })
}

/** Options of everything that reads a model and writes one. */
function addModelOptions(command: Command): Command {
  const forms = ['safetensors', 'ckpt', 'diffusers', 'diffusers_safetensors']
  return command
    .addOption(new Option('--save_model_as <form>', "default: by the target's extension").choices(forms))
    .addOption(new Option('--save_precision <type>', 'default: as it is').choices(['float', 'fp16', 'bf16']))
    .option('--vae <path>', "another VAE in place of the model's: a file, a folder or a hub id")
    .option('--v2', 'the model must be Stable Diffusion 2.x')
    .option('--v_parameterization', 'the model predicts velocity')
    .option('--variant <name>', 'weights of a folder to prefer, for instance fp16')
    .option('--overwrite', 'replace what has the name of the target')
}
