import { testUnet } from './unetSuite.ts'

testUnet('sd2')
