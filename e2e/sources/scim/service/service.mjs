// Serves a directory of made-up people and groups by scimmy-routers, on a port of loopback that it prints. Argument 1 is
// the version of Express; 2 and 3 are how many people and groups there are; 4 is the bearer token.
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const [express, people, groups, token] = process.argv.slice(2);
const app = (await import(express)).default();

const users = Array.from({length: Number(people)}, (_, i) => ({
    id: `user-${i}`, userName: `person${i}@acme.example`, displayName: `Person ${i}`, active: i % 10 !== 9,
    name: {givenName: "Person", familyName: String(i)},
    emails: [{value: `person${i}@acme.example`, primary: true, type: "work"}],
    meta: {created: new Date(0), lastModified: new Date(0)},
}));
// person i is in group i modulo the number of groups, and every seventh in the first one
const members = g => users.filter((_, i) => i % Number(groups) === g || g === 0 && i % 7 === 0);
const teams = Array.from({length: Number(groups)}, (_, g) => ({
    id: `group-${g}`, displayName: `Team ${g}`, members: members(g).map(u => ({value: u.id, type: "User"})),
    meta: {created: new Date(0), lastModified: new Date(0)},
}));

const egress = list => resource => {
    if (!resource.id) return list;
    const one = list.find(({id}) => id === resource.id);
    if (!one) throw new SCIMMY.Types.Error(404, null, `Resource ${resource.id} not found`);
    return one;
};
SCIMMY.Resources.declare(SCIMMY.Resources.User).egress(egress(users));
SCIMMY.Resources.declare(SCIMMY.Resources.Group).egress(egress(teams));

app.use("/scim/v2", new SCIMMYRouters({type: "bearer", handler: request => {
    if (request.header("Authorization") !== `Bearer ${token}`) throw new Error("this token is not known");
    return "castellan";
}}));
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0)); // does not outlive the test
