/** What a U-Net predicts: the noise, or the velocity of Salimans and Ho (2022). Named as in the files of the published models. */
export type PredictionType = 'epsilon' | 'v_prediction'
