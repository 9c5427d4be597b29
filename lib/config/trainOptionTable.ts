/**
 * The options of all trainings, as data. Parsing, the configuration file, help and documentation all read these tables; to add an
 * option, add a row to the table of its group and a field in `lib/train/options/parseTraining.ts`.
 *
 * Names, types and defaults are those of kohya-ss sd-scripts' trainers.
 */
import { trainDataOptions, trainHints } from './trainDataOptions.ts'
import { trainLossOptions } from './trainLossOptions.ts'
import { trainMethodOptions } from './trainMethodOptions.ts'
import { trainOptimizerOptions } from './trainOptimizerOptions.ts'
import { count, flag, model, type TrainOption, text } from './trainOptionRow.ts'
import { trainOutputOptions } from './trainOutputOptions.ts'

export type { TrainerName, TrainOption, TrainOptionGroup, TrainOptionType } from './trainOptionRow.ts'
export { trainerNames } from './trainOptionRow.ts'

export const trainOptions = [
  {
    ...model,
    ...text,
    name: 'pretrained_model_name_or_path',
    required: true,
    help: 'Model to start from: a checkpoint file (.safetensors, .ckpt), a folder in the diffusers layout, or a hub id.',
  },
  { ...model, ...flag, name: 'v2', help: 'The model must be Stable Diffusion 2.x; without it the files tell.' },
  {
    ...model,
    ...flag,
    name: 'v_parameterization',
    help: 'The model predicts velocity. Needed for 2.x files that do not store it; without it the files tell, else noise.',
  },
  {
    ...model,
    ...text,
    name: 'vae',
    help: "VAE in place of the model's own: a folder, a .safetensors, .ckpt or .bin file, another checkpoint, or a hub id.",
  },
  {
    ...model,
    ...count,
    name: 'clip_skip',
    help: 'Condition on the hidden state this far from the end; 1 is the last.',
  },
  {
    ...model,
    ...text,
    name: 'max_token_length',
    choices: ['75', '150', '225'],
    help: 'Tokens of a caption that are used; 75 when not given.',
  },
  {
    ...model,
    ...text,
    name: 'config_file',
    help: 'TOML file with options of this list; the command line wins over it. ".toml" is added when missing.',
  },
  {
    ...model,
    ...flag,
    name: 'output_config',
    help: 'Write the options given here that differ from their defaults into config_file, which must not exist yet, and stop.',
  },

  ...trainDataOptions,
  ...trainMethodOptions,
  ...trainOptimizerOptions,
  ...trainLossOptions,
  ...trainOutputOptions,
  ...trainHints,
] as const satisfies readonly TrainOption[]
