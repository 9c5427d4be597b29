/** The parameters of a model before it exists, for checks that must come before the first byte is read. */
import { ClipTextModel } from '../models/clip/textModel.ts'
import type { StableDiffusionConfig } from '../models/stableDiffusion/config.ts'
import type { ModelPart } from '../models/stableDiffusion/stableDiffusion.ts'
import { UNet } from '../models/stableDiffusion/unet.ts'
import { Vae } from '../models/stableDiffusion/vae.ts'
import type { ParameterRequest, WeightSource } from '../nn/weights.ts'
import { tensor } from '../tensor/create.ts'

/** What each part asks its weights' source for, in order. The modules themselves tell, so no list can disagree with them. */
export function parameterRequests(part: ModelPart, config: StableDiffusionConfig): ParameterRequest[] {
  const requests: ParameterRequest[] = []
  const standIn = tensor([0], [1])
  const source: WeightSource = (request) => {
    requests.push(request)
    return standIn
  }
  try {
    if (part === 'unet') new UNet(config.unet, source)
    else if (part === 'textEncoder') new ClipTextModel(config.textEncoder, source)
    else new Vae(config.vae, source)
  } finally {
    standIn.dispose()
  }
  return requests
}
