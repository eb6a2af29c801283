/*
 * Words that guessers try first: what stands on top of every list of leaked passwords, in the languages whose keyboards
 * are near, and what people put into passwords of a company. Nothing enters, nothing fails.
 *
 * Lists of whole passwords hold few that are twelve characters long, and these are such words with endings, doubled or
 * put together, which the check finds by itself; so the words alone are enough, and nothing has to be installed for
 * them. Who wants a longer list names a file (passwords.common_file).
 */
#include "common.h"

#include <stddef.h>

const char *const common_words[] = {
	/* about passwords themselves */
	"password passwords passwort passwords passwd pass passphrase passcode motdepasse contrasena senha "
	"wachtwoord parola parole haslo heslo lozinka salasana losenord kennwort geheim geheimnis secret secrets topsecret "
	"access login logon signin admin administrator root toor user username guest test tester testing default changeme "
	"change letmein openup open opensesame sesame welcome welcomeback willkommen bienvenue bienvenido benvenuto hello "
	"hallo hola bonjour ciao enter master superuser superadmin system sysadmin server service support temp temporary "
	"new old mine mypass mypassword yourpassword thepassword nopassword unknown private computer internet security "
	"secure safe key keys pin code codes demo example sample trustno trustnoone trustme idontknow dontknow whatever "
	"nothing noone incorrect wrong forgot forgotten remember reset iforgot",
	/* keyboards */
	"qwerty qwertz azerty qwertyuiop qwertzuiop azertyuiop asdf asdfg asdfgh asdfghjkl zxcv zxcvb zxcvbn zxcvbnm yxcvbnm "
	"qwer qwert asdfasdf qazwsx qazwsxedc wsxedc qweasd qweasdzxc asdzxc poiuy poiuytrewq lkjhgfdsa mnbvcxz abc abcd "
	"abcde abcdef abcabc xyz aaa iii ooo",
	/* feelings */
	"love iloveyou iloveme loveyou loveme lover lovely loves ilove myself you forever always together baby babygirl "
	"babyboy babe honey sweet sweetie sweetheart sweety darling angel angels princess prince princesa queen king kiss "
	"kisses heart hearts happy happiness smile sunshine sunny beautiful pretty cute cutie sexy hottie hot cool life "
	"lucky luck peace hope faith trust dream dreams dreamer friends friend family mother father mom dad mommy daddy "
	"mama papa brother sister son daughter grandma teamo tequiero amor amore amour mylove liebe schatz ichliebedich "
	"jetaime fuckyou fuck fucker fuckoff shit bitch asshole bullshit pussy",
	/* animals, plants, colours, weather */
	"monkey dragon tiger lion bear panda wolf eagle falcon hawk phoenix dolphin shark snake cobra spider butterfly "
	"kitty kitten cat cats dog dogs doggy puppy bunny rabbit horse pony chicken turtle duck bird fish buffalo bull "
	"mustang panther jaguar puma cheetah mouse rat pig cow flower flowers rose roses lily daisy jasmine violet cherry "
	"apple banana orange peach lemon strawberry red blue green yellow black white silver gold golden purple pink brown "
	"rainbow summer winter spring autumn fall sommer herbst fruehling sun moon star stars sky storm thunder "
	"lightning fire ice snow water ocean river earth ginger pepper cookie cookies chocolate candy sugar coffee cheese "
	"pizza peanut butter beer whiskey vodka",
	/* play */
	"football baseball basketball soccer hockey tennis golf rugby cricket volleyball fussball futbol liverpool "
	"arsenal chelsea barcelona realmadrid manchester united juventus bayern yankees lakers cowboys steelers patriots "
	"redsox eagles packers bulls rangers raiders player players gamer games game play playboy pokemon pikachu mario "
	"luigi zelda nintendo sega playstation xbox minecraft fortnite roblox callofduty counterstrike diablo warcraft "
	"starcraft halo naruto sasuke goku dragonball onepiece starwars skywalker vader darthvader yoda jedi batman "
	"superman spiderman ironman hulk wolverine joker marvel avengers harrypotter potter hermione gandalf frodo lordoftherings "
	"matrix neo ninja samurai warrior hunter killer ranger soldier pirate wizard magic knight legend hero champion "
	"winner number one first",
	/* people */
	"michael michelle jennifer jessica jordan daniel andrew thomas matthew joshua anthony robert richard william "
	"charles christopher christian alexander alexandra nicholas nicole ashley amanda melissa samantha stephanie "
	"elizabeth victoria veronica vanessa natasha natalie rebecca rachel sarah sara hannah anna annie andrea angela "
	"maria marina martin martina maggie charlie george james john johnny joseph justin jason kevin brian brandon "
	"patrick steven taylor tyler thomas peter paul paula oliver oscar max maximilian lucas lukas leon felix jonas simon "
	"tobias stefan sebastian sandra sabrina julia juliane laura lisa lena sophie sofia emma emily olivia chloe zoe "
	"carlos jose juan miguel pedro luis antonio alejandro fernando ricardo roberto daniela gabriela carolina isabella "
	"valentina camila francesco giuseppe marco matteo alessandro giulia pierre nicolas julien marie camille sergey "
	"vladimir ivan dmitry natalia svetlana mohammed muhammad ahmed ali fatima abdullah jesus christ god jesuschrist "
	"godisgood blessed blessing heaven bible church amen buster bailey buddy rocky lucy molly sophie shadow toby duke "
	"harley sammy ginger tigger snoopy garfield mickey minnie donald barbie elvis metallica nirvana eminem slipknot "
	"linkinpark greenday beatles prince madonna",
	/* places, makes, months */
	"america american england london paris berlin hamburg munich muenchen vienna wien zurich madrid roma rome moscow "
	"newyork boston chicago dallas houston texas california florida hollywood canada mexico brasil brazil argentina "
	"colombia india china japan tokyo australia germany deutschland france italia espana russia ukraine turkey "
	"istanbul europe africa ferrari porsche mercedes corvette camaro chevy ford honda toyota yamaha suzuki kawasaki "
	"nissan audi bmw volkswagen google facebook instagram twitter tiktok youtube yahoo hotmail gmail microsoft windows "
	"office outlook linux ubuntu debian apple iphone samsung nokia android oracle cisco amazon netflix paypal bitcoin "
	"january february march april may june july august september october november december januar februar maerz mai juni "
	"juli oktober dezember monday tuesday wednesday thursday friday saturday sunday montag dienstag mittwoch donnerstag "
	"freitag samstag sonntag today tomorrow yesterday morning night birthday christmas halloween easter",
	/* work */
	"company firma business work worker job boss manager office team teams staff employee student teacher school "
	"schule college university training sales marketing finance account accounts banking bank money dollar euro "
	"million millionaire customer client project projects database mysql oracle postgres backup network router switch "
	"wireless wifi wlan laptop desktop phone mobile printer engineer engineering developer development production "
	"staging hospital doctor nurse police freedom liberty victory power energy number numbers zero two three four five "
	"six seven eight nine ten hundred thousand please thanks thankyou sorry yes the and for with this that here there "
	"now day home house world life time good great best bad big little super mega ultra extreme crazy stupid idiot "
	"corporate corporation department operations helpdesk vpn identity role bridge rolebridge",
	NULL,
};
