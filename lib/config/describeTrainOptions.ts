import { type TrainerName, type TrainOption, type TrainOptionGroup, trainOptionsOf } from './trainOptions.ts'

/** Of the groups of options, in the order in which they are shown. */
export const groupTitles: Readonly<Record<TrainOptionGroup, string>> = {
  model: 'Model',
  data: 'Data (options of a dataset configuration win over these)',
  method: 'What is trained',
  optimizer: 'Optimizer and learning rate',
  training: 'Training',
  noise: 'Noise and loss',
  validation: 'Validation',
  output: 'Output',
  state: 'State, to go on from',
  preview: 'Preview pictures',
  logging: 'Log',
  hints: 'Accepted, without effect',
}

/** The options of a training as text for a terminal, in groups, wrapped to a width in characters. */
export function describeTrainOptions(trainer: TrainerName, width = 100): string {
  const options = [...trainOptionsOf(trainer).values()]
  const lines: string[] = []
  for (const [group, title] of Object.entries(groupTitles)) {
    const rows = options.filter((option) => option.group === group)
    if (rows.length > 0) lines.push('', `${title}:`, ...rows.flatMap((option) => describe(option, width)))
  }
  return lines.slice(1).join('\n')
}

function describe(option: TrainOption, width: number): string[] {
  const facts = [option.help]
  if (option.choices && option.choices.length > 1) facts.push(`One of ${option.choices.join(', ')}.`)
  if (option.required) facts.push('Required.')
  else if (option.default !== undefined && option.type !== 'flag') facts.push(`Default: ${option.default}.`)
  return [`  --${option.name}${valueName(option)}`, ...wrap(facts.join(' '), width, '        ')]
}

/** What follows the option's name on a command line. */
export function valueName({ type }: TrainOption): string {
  if (type === 'flag') return ''
  return type === 'list' ? ' <key=value...>' : ` <${type}>`
}

/** Words in lines of at most `width` characters. */
export function wrap(text: string, width: number, indent: string): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(indent + word)
  }
  return lines
}
