// The official SDK for Node as its users have it; prints the key pair. Addresses and secrets from the environment.
import { cvm } from "tencentcloud-sdk-nodejs-cvm";

const { ENDPOINT, SECRET_ID, SECRET_KEY, RECIPIENT, KEY_NAME } = process.env;
const client = new cvm.v20170312.Client({
  credential: { secretId: SECRET_ID, secretKey: SECRET_KEY },
  region: "ap-guangzhou",
  profile: { httpProfile: { endpoint: ENDPOINT, protocol: "http://" } },
});
const answer = await client.CreateKeyPair({ KeyName: KEY_NAME, ProjectId: 0, Recipients: [RECIPIENT] });
process.stdout.write(JSON.stringify(answer.KeyPair));
