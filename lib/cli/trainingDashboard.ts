import { basename } from 'node:path'
import { type Dashboard, startDashboard } from '../dashboard/dashboard.ts'
import type { TrainingControls } from '../train/controls.ts'
import type { TrainConfig } from '../train/trainConfig.ts'

export interface TrainingDashboardOptions {
  readonly port: number
  /** What the buttons for previews and saves ask. */
  readonly controls: TrainingControls
  /** What the button that ends the training does. */
  readonly stop: () => void
}

/** The page of a training of the command line. Without prompts there is no button for previews. */
export async function trainingDashboard(
  { output, preview }: TrainConfig,
  { port, controls, stop }: TrainingDashboardOptions,
): Promise<Dashboard> {
  return startDashboard({
    port,
    title: output.name ?? basename(output.folder),
    controls: {
      ...(preview.promptFile === null ? {} : { preview: () => controls.requestPreview() }),
      save: () => controls.requestSave(),
      stop,
    },
  })
}
